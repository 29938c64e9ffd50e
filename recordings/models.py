"""Recording, the audio side of a call; and ProviderAccount, where and with whose credentials it is fetched."""

import os
from typing import ClassVar, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from calls.clock import now
from calls.models import Business, CallLog
from recordings.attempts import Attempt, Outcome
from recordings.lifecycle import RecordingQuerySet
from recordings.samples import StatusSample

__all__ = ["Attempt", "Outcome", "ProviderAccount", "Recording", "StatusSample"]


class RecordingManager(models.Manager["Recording"].from_queryset(RecordingQuerySet)):  # type: ignore[misc]
    """Calls that have a recording."""

    def get_queryset(self) -> RecordingQuerySet:
        """Only rows with an address to fetch from."""
        return super().get_queryset().filter(recording_url__isnull=False)  # type: ignore[no-any-return]


class Recording(CallLog):
    """The audio of a call, under the verbs of its life."""

    objects: ClassVar[RecordingManager] = RecordingManager()

    class Meta:
        proxy = True
        verbose_name = _("recording")
        verbose_name_plural = _("recordings")


class ProviderAccountQuerySet(models.QuerySet["ProviderAccount"]):
    """What downloads tell of an account, and what the next ones must know."""

    def with_refusal(self) -> Self:
        """With `refused_lately`: whether the provider refused the credentials less than a minute ago."""
        lately = When(broken_at__gt=now(-60), broken_at__lte=now(), then=True)  # a time to come: a clock was wrong
        return self.annotate(refused_lately=Case(lately, default=False))

    def paused(self) -> Self:
        """Asked to wait, for a time that can be meant; one further ahead comes from a clock that was wrong."""
        return self.filter(paused_until__gt=now(), paused_until__lte=now(settings.RECORDINGS_MAX_RETRY_AFTER))

    def as_read(self, account: "ProviderAccount") -> Self:
        """This account while its credentials are those of `account`: an answer to old ones says nothing of new ones."""
        same = {name: getattr(account, name) for name in ("base_url", "auth", "username", "secret_env", "secret")}
        return self.filter(pk=account.pk, **same)

    def pause(self, account: "ProviderAccount", seconds: float) -> int:
        """Leave this account's provider alone for so long, at most RECORDINGS_MAX_RETRY_AFTER (HTTP 429).

        1 when it was not paused already.
        """
        until = now(min(seconds, settings.RECORDINGS_MAX_RETRY_AFTER))
        mine = self.filter(pk=account.pk)
        if begun := mine.exclude(pk__in=self.paused()).update(paused_until=until):
            return begun
        mine.exclude(pk__in=self.paused().filter(paused_until__gt=until)).update(paused_until=until)
        return 0

    def refused(self, account: "ProviderAccount") -> int:
        """The provider refused these credentials (401, 403). Until a success, or until they are changed.

        1 when it is the first time.
        """
        if begun := self.as_read(account).filter(broken_since=None).update(broken_at=now(), broken_since=now()):
            return begun
        self.as_read(account).update(broken_at=now(), broken_since=Coalesce("broken_since", now()))
        return 0

    def accepted(self, account: "ProviderAccount") -> int:
        """The provider took these credentials."""
        return self.as_read(account).update(broken_at=None, broken_since=None)


class ProviderAccount(models.Model):
    """Where a business's recordings are fetched from, and with whose credentials."""

    class Kind(models.TextChoices):
        """How addresses are built: Twilio's rules, or as given."""

        TWILIO = "twilio", "Twilio"
        GENERIC = "generic", _("Generic (any HTTPS address)")

    class Auth(models.TextChoices):
        """How we say who we are."""

        BASIC = "basic", _("Basic (user name and secret)")
        BEARER = "bearer", _("Bearer (secret)")
        NONE = "none", _("None")

    business = models.OneToOneField(
        Business, models.CASCADE, related_name="provider_account", verbose_name=_("business")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    base_url = models.CharField(
        _("base address"),
        max_length=300,
        help_text=_("Credentials are sent to this scheme, host and port only."),
    )
    hosts = models.CharField(
        _("allowed hosts"),
        max_length=1000,
        help_text=_("Comma-separated; host, or host:port where it is not 443."),
    )
    auth = models.CharField(_("authentication"), max_length=8, choices=Auth, default=Auth.BASIC)
    username = models.CharField(
        _("user name"), max_length=200, blank=True, help_text=_("Twilio: the account SID or an API key SID.")
    )
    secret_env = models.CharField(
        _("secret's variable"),
        max_length=100,
        blank=True,
        help_text=_("The environment variable that holds the secret."),
    )
    secret = models.CharField(_("secret"), max_length=500, blank=True, help_text=_("Used when no variable is named."))
    paused_until = models.DateTimeField(_("paused until"), null=True, editable=False)
    broken_since = models.DateTimeField(_("refused since"), null=True, editable=False)
    broken_at = models.DateTimeField(_("last refused"), null=True, editable=False)
    refused_lately: bool  # with_refusal()

    objects = ProviderAccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("provider account")
        verbose_name_plural = _("provider accounts")
        indexes: ClassVar = [models.Index("paused_until", name="account_paused")]

    def __str__(self) -> str:
        return f"{self.business} ({self.get_kind_display()})"

    def clean(self) -> None:
        """Refuse an account that could never fetch anything."""
        if self.auth != self.Auth.NONE and not (self.secret or self.secret_env):
            raise ValidationError({"secret": _("Give a secret, or name the environment variable that holds it.")})
        if self.auth == self.Auth.BASIC and not self.username:
            raise ValidationError({"username": _("Basic authentication needs a user name.")})

    def host_list(self) -> tuple[str, ...]:
        """The hosts this account may be fetched from, as written: host or host:port."""
        return tuple(entry.strip().lower() for entry in self.hosts.split(",") if entry.strip())

    def current_secret(self) -> str:
        """The secret: of the named environment variable, else the one kept here. Empty where that is not set."""
        return os.environ.get(self.secret_env, "") if self.secret_env else self.secret
