"""The admin's pages of recordings, attempts and provider accounts. Statuses change through the verbs only."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from calls.admin import BusinessAdmin, ReadOnlyAdmin
from calls.models import PRIORITY_BULK, PRIORITY_CLICK, Business, CallLog, RecordingStatus
from recordings import queue_admin  # noqa: F401  (the queue's pages register themselves)
from recordings.account_form import ProviderAccountForm
from recordings.bulk import ask_all, chunks
from recordings.lifecycle import Answer, Ask
from recordings.models import Attempt, ProviderAccount, Recording
from recordings.reasons import Reason

A_PAGE = 100
"""Up to so many recordings, the operator waits for them: they go before a backfill."""

ANSWERS = {
    Answer.ENQUEUED: _("enqueued"), Answer.UNDER_WAY: _("under way already"), Answer.READY: _("ready already"),
    Answer.COOLING_DOWN: _("asked for less than a minute ago"), Answer.BACKING_OFF: _("waiting for a retry"),
    Answer.FAILED: _("failed for good: use “retry”, or it was deleted"),
}  # fmt: skip


class ReasonFilter(admin.SimpleListFilter):
    """By the reason of a failure, in its code: what logs and commands call it."""

    title = _("reason")
    parameter_name = "recording_reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All codes there are."""
        return [(reason, reason) for reason in Reason.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CallLog]) -> QuerySet[CallLog]:
        """Exactly this one."""
        return queryset.filter(recording_reason=self.value()) if self.value() else queryset


class AttemptInline(admin.TabularInline):  # type: ignore[type-arg]
    """What was tried for one recording, the latest first."""

    model = Attempt
    fields = (
        "started_at", "ended_at", "outcome", "reason", "detail", "http_status", "bytes_done", "bytes_total",
        "next_retry_at", "worker", "token",
    )  # fmt: skip
    readonly_fields = fields
    ordering = ("-id",)
    extra = max_num = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Workers write attempts."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Workers write attempts."""
        return False


@admin.register(Recording)
class RecordingAdmin(ReadOnlyAdmin):
    """Where each recording stands, why, and what was tried; the actions ask again."""

    list_display = (
        "call_sid", "business", "recording_download_status", "recording_reason", "started_at",
        "recording_last_enqueue_at", "recording_next_retry_at", "recording_fail_count",
    )  # fmt: skip
    list_filter = ("recording_download_status", ReasonFilter, "business")
    list_select_related = ("business",)
    date_hierarchy = "started_at"
    ordering = ("-started_at", "-id")
    search_fields = ("call_sid", "recording_sid", "search_digits")
    search_help_text = _("Call SID, recording SID, or digits of a number")
    actions = ("download", "retry", "reset_stuck")
    inlines = (AttemptInline,)
    fieldsets: ClassVar = [
        (None, {"fields": ("call_sid", "business", "started_at", "duration", "from_number", "to_number", "agent")}),
        (_("Where it stands"), {"fields": (
            "recording_download_status", "recording_reason", "recording_permanent", "recording_fail_count",
            "recording_crash_count", "recording_next_retry_at", "recording_last_enqueue_at", "recording_priority",
            "recording_started_at", "recording_lease_until", "recording_token",
        )}),
        (_("Audio"), {"fields": (
            "address", "recording_sid", "recording_file", "recording_bytes", "recording_bytes_total",
            "recording_content_type", "recording_duration", "recording_sha256", "recording_ready_at",
        )}),
    ]  # fmt: skip
    readonly_fields = tuple(str(name) for _title, options in fieldsets for name in options["fields"])

    @admin.display(description=_("address"))
    def address(self, row: CallLog) -> str:
        """Without its query: a signature there opens the audio to whoever reads it."""
        address, mark, _query = (row.recording_url or "").partition("?")
        return address + mark + "…" if mark else address

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the counts by status and reason of what the filters leave, in one query."""
        response = super().changelist_view(request, extra_context)
        changelist = getattr(response, "context_data", None) and response.context_data.get("cl")  # type: ignore[attr-defined]
        if changelist:
            response.context_data["counts"] = _counts(changelist.queryset)  # type: ignore[attr-defined]
        return response

    # --- actions: what is asked, confirmed, done through the verbs, and counted

    @admin.action(description=_("Download the selected recordings"), permissions=["change"])
    def download(self, request: HttpRequest, queryset: QuerySet[CallLog]) -> HttpResponse | None:
        """As a person's POST: beats a backoff, starts a given-up one anew."""
        question = _("Download these now? Ready ones stay as they are; permanent failures are left alone.")
        return self._confirmed(request, queryset, question, lambda pks: _asked(pks, Ask.PERSON))

    @admin.action(description=_("Retry the selected recordings, permanent failures too"), permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[CallLog]) -> HttpResponse | None:
        """As a manager's force: beats a permanent failure too, save a deletion."""
        question = _("Retry these now, permanent failures too? Deleted ones stay deleted.")
        return self._confirmed(request, queryset, question, lambda pks: _asked(pks, Ask.FORCE))

    @admin.action(description=_("Reset the selected recordings that are stuck"), permissions=["change"])
    def reset_stuck(self, request: HttpRequest, queryset: QuerySet[CallLog]) -> HttpResponse | None:
        """Release those without a heartbeat, as the sweep does."""
        question = _("Put those whose worker gave no sign for 30 seconds back into the queue? Working ones go on.")
        return self._confirmed(request, queryset, question, _released)

    def _confirmed(
        self, request: HttpRequest, queryset: QuerySet[CallLog], question: Any, act: Callable[[list[int]], str]
    ) -> HttpResponse | None:
        """The confirmation page; once it was confirmed, do it and say what was done."""
        if "confirmed" in request.POST:
            pks = list(queryset.order_by("pk").values_list("pk", flat=True))
            self.message_user(request, act(pks), messages.SUCCESS)
            return None
        context = self.admin_site.each_context(request) | {
            "opts": self.model._meta,
            "title": _("Are you sure?"),
            "question": question,
            "counts": _counts(queryset),
            "action": request.POST["action"],
            "select_across": request.POST.get("select_across", "0"),
            "selected": request.POST.getlist("_selected_action"),
        }
        return TemplateResponse(request, "admin/recordings/recording/confirm.html", context)


def _counts(rows: QuerySet[CallLog]) -> dict[str, Any]:
    """How many of these stand in each status, and failed for each reason; one grouped query."""
    statuses, reasons = dict.fromkeys(RecordingStatus, 0), dict[str, int]()
    grouped = rows.order_by().values_list("recording_download_status", "recording_reason").annotate(Count("pk"))
    for status, reason, count in grouped:
        statuses[RecordingStatus(status)] += count
        if status == RecordingStatus.FAILED:
            reasons[reason or "–"] = reasons.get(reason or "–", 0) + count
    return {
        "total": sum(statuses.values()),
        "statuses": [(status.label, count) for status, count in statuses.items()],
        "reasons": sorted(reasons.items(), key=lambda item: (-item[1], item[0])),
    }


def _asked(pks: list[int], ask: Ask) -> str:
    answers = ask_all(pks, ask, PRIORITY_CLICK if len(pks) <= A_PAGE else PRIORITY_BULK)
    return _sentence((ANSWERS[answer], answers[answer]) for answer in ANSWERS if answers[answer])


def _released(pks: list[int]) -> str:
    released = sum(Recording.objects.filter(pk__in=chunk).release() for chunk in chunks(pks))
    return _sentence([(_("released"), released), (_("left as they are"), len(pks) - released)])


def _sentence(counted: Iterable[tuple[Any, int]]) -> str:
    return ", ".join(f"{count} {words}" for words, count in counted) + "."


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """All that was tried, the latest first."""

    list_display = (
        "recording", "business", "outcome", "reason", "http_status", "started_at", "ended_at", "bytes_done", "worker",
    )  # fmt: skip
    list_filter = ("outcome", "reason")
    list_select_related = ("recording__business",)
    search_fields = ("=token", "recording__call_sid")
    ordering = ("-id",)
    fields = (*AttemptInline.fields[:1], "recording", *AttemptInline.fields[1:], "validator")
    readonly_fields = fields

    @admin.display(description=_("business"))
    def business(self, attempt: Attempt) -> str:
        """Whose recording it was."""
        return str(attempt.recording.business)


class ProviderAccountInline(admin.StackedInline):  # type: ignore[type-arg]
    """Where the recordings come from, and whether the provider takes our credentials."""

    model = ProviderAccount
    form = ProviderAccountForm
    extra = 0
    max_num = 1
    can_delete = False
    readonly_fields = ("paused_until", "broken_since", "broken_at")


admin.site.unregister(Business)


@admin.register(Business)
class BusinessWithAccountAdmin(BusinessAdmin):
    """Companies, their members, and their accounts at the provider."""

    inlines: ClassVar = [*BusinessAdmin.inlines, ProviderAccountInline]
    list_display = (*BusinessAdmin.list_display, "account")  # type: ignore[assignment]  # one more
    list_select_related = ("provider_account",)

    @admin.display(description=_("account"))
    def account(self, business: Business) -> str:
        """Whether downloads can work."""
        account: ProviderAccount | None = getattr(business, "provider_account", None)
        if account is None:
            return str(_("none: nothing can be downloaded"))
        return str(_("refused by the provider") if account.broken_since else account.get_kind_display())

    def save_related(self, request: HttpRequest, form: "ModelForm[Business]", formsets: Any, change: bool) -> None:
        """What was saved is tried anew: no pause and no refusal is remembered. The failed ones are the operator's."""
        super().save_related(request, form, formsets, change)
        accounts = ProviderAccount.objects.filter(business=form.instance)
        accounts.update(paused_until=None, broken_since=None, broken_at=None)
        refused = Recording.objects.filter(
            business=form.instance, recording_download_status="failed", recording_reason=Reason.UNAUTHORISED
        ).count()
        if refused:
            words = _("%(count)d recordings failed because the provider refused the credentials. Once these are right, "
                      "choose them in the list of recordings and use “retry”.")  # fmt: skip
            self.message_user(request, words % {"count": refused}, messages.WARNING)
