"""The admin's page of a business with its provider account: what is refused, paused, or without a secret."""

from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from calls.admin import BusinessAdmin
from calls.models import Business
from recordings.account_form import ProviderAccountForm
from recordings.models import ProviderAccount, Recording
from recordings.reasons import Reason


class ProviderAccountInline(admin.StackedInline):  # type: ignore[type-arg]
    """Where the recordings come from, and whether the provider takes our credentials."""

    model = ProviderAccount
    form = ProviderAccountForm
    extra = 0
    max_num = 1
    can_delete = False
    readonly_fields = ("state_of_secret", "paused_until", "broken_since", "broken_at", "pace")
    fields = (*ProviderAccountForm.Meta.fields, *readonly_fields)

    @admin.display(description=_("secret is set"))
    def state_of_secret(self, account: ProviderAccount) -> str:
        """Whether there is one to send; of a variable only this process can be asked."""
        if account.auth == ProviderAccount.Auth.NONE:
            return gettext("Not needed.")
        if not account.secret_env:
            return gettext("Yes, in this account.") if account.secret else gettext("No: type it above.")
        if account.current_secret():
            return gettext("The variable %(name)s is set where the web runs.") % {"name": account.secret_env}
        words = gettext(
            "The variable %(name)s is not set where the web runs; set it where ./run is started, and restart."
        )
        return words % {"name": account.secret_env}

    @admin.display(description=_("at once now"))
    def pace(self, account: ProviderAccount) -> str:
        """How many downloads at once, and why fewer than its cap."""
        read = ProviderAccount.objects.with_moment().filter(pk=account.pk).first()
        if read is None:  # the form of one to be added
            return "–"
        facts = {"now": read.at_once(), "cap": read.cap}
        if read.at_once() == read.cap:
            return str(read.cap)
        if read.rests_until and read.is_resting():
            words = gettext(
                "%(now)d of %(cap)d: the provider is in trouble; background downloads rest until %(until)s."
            )
            return words % {**facts, "until": date_format(read.rests_until, "H:i:s")}
        return gettext("%(now)d of %(cap)d: the provider was in trouble; it grows back by itself.") % facts


admin.site.unregister(Business)


@admin.register(Business)
class BusinessWithAccountAdmin(BusinessAdmin):
    """Companies, their members, and their accounts at the provider."""

    inlines: ClassVar = [*BusinessAdmin.inlines, ProviderAccountInline]
    list_display = (*BusinessAdmin.list_display, "account", "refused_since", "paused_until")  # type: ignore[assignment]
    list_select_related = ("provider_account",)

    @admin.display(description=_("account"))
    def account(self, business: Business) -> str:
        """Whether downloads can work."""
        account: ProviderAccount | None = getattr(business, "provider_account", None)
        if account is None:
            return gettext("none: nothing can be downloaded")
        return gettext("refused by the provider") if account.broken_since else str(account.get_kind_display())

    @admin.display(description=_("refused since"), ordering="provider_account__broken_since")
    def refused_since(self, business: Business) -> datetime | None:
        """Since when the provider takes our credentials no more."""
        account: ProviderAccount | None = getattr(business, "provider_account", None)
        return account.broken_since if account else None

    @admin.display(description=_("paused until"))
    def paused_until(self, business: Business) -> datetime | None:
        """While the provider has asked to slow down; one further ahead than any wait comes from a wrong clock."""
        account: ProviderAccount | None = getattr(business, "provider_account", None)
        until = account.paused_until if account else None
        left = (until - timezone.now()).total_seconds() if until else 0
        return until if 0 < left <= settings.RECORDINGS_MAX_RETRY_AFTER else None

    def save_related(self, request: HttpRequest, form: "ModelForm[Business]", formsets: Any, change: bool) -> None:
        """What was saved is tried anew: no pause and no refusal is remembered. The failed ones are the operator's."""
        super().save_related(request, form, formsets, change)
        accounts = ProviderAccount.objects.filter(business=form.instance)
        accounts.update(
            paused_until=None, broken_since=None, broken_at=None, slowed_to=None, slowed_at=None, rests=0,
            rests_until=None,
        )  # fmt: skip
        refused = Recording.objects.filter(
            business=form.instance, recording_download_status="failed", recording_reason=Reason.UNAUTHORISED
        ).count()
        if refused:
            words = ngettext(
                "%(count)d recording failed because the provider refused the credentials. Once these are right, "
                "choose it in the list of recordings and use “retry”.",
                "%(count)d recordings failed because the provider refused the credentials. Once these are right, "
                "choose them in the list of recordings and use “retry”.",
                refused,
            )
            self.message_user(request, words % {"count": refused}, messages.WARNING)
