"""ProviderAccount: where a business's recordings are fetched from, with whose credentials, and how gently."""

import os
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Case, Q, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from calls.clock import now
from calls.models import Business

GROWS_EVERY = 5.0
"""Seconds after which an account that was slowed down may have one more download at once."""

SLOWEST = 4
"""Downloads at once that it keeps, so that one that hangs does not hold up the others."""

FORGOTTEN_AFTER = 120
"""Seconds after its last slow-down when an account that has grown back to its cap is as one that was never in trouble.
Longer than a failure takes: else failures that take half a minute each would let it grow, and never rest."""

LONGEST_REST = 60
"""Seconds at most for which the background downloads of an account in trouble wait."""

MOST_RESTS = 8
"""Rests in a row that are counted: by then they are as long as they get."""


class ProviderAccountQuerySet(models.QuerySet["ProviderAccount"]):
    """What downloads tell of an account, and what the next ones must know."""

    def with_moment(self) -> Self:
        """With `moment`, the database's time at which they were read."""
        return self.annotate(moment=now())

    def with_refusal(self) -> Self:
        """With `refused_lately`: whether the provider refused the credentials less than a minute ago."""
        lately = When(broken_at__gt=now(-60), broken_at__lte=now(), then=True)  # a time to come: a clock was wrong
        return self.with_moment().annotate(refused_lately=Case(lately, default=False))

    def in_trouble(self) -> "list[ProviderAccount]":
        """Those that are refused, that were asked to wait, or whose provider was in trouble a moment ago. One query."""
        marked = Q(broken_since__isnull=False) | Q(paused_until__isnull=False) | Q(slowed_at__isnull=False)
        found = self.filter(marked).with_moment().select_related("business").order_by("business__slug")
        return [one for one in found if one.broken_since or one.is_paused() or one.is_slowed()]

    def as_read(self, account: "ProviderAccount") -> Self:
        """This account while its credentials are those of `account`: an answer to old ones says nothing of new ones."""
        same = {name: getattr(account, name) for name in ("base_url", "auth", "username", "secret_env", "secret")}
        return self.filter(pk=account.pk, **same)

    def pause(self, account: "ProviderAccount", seconds: float) -> int:
        """Leave this account's provider alone for so long, at most RECORDINGS_MAX_RETRY_AFTER (HTTP 429).

        1 when it was not paused already. Guarded by the row's own columns, which PostgreSQL reads again under its lock.
        """
        until = now(min(seconds, settings.RECORDINGS_MAX_RETRY_AFTER))
        mine = self.filter(pk=account.pk)
        if begun := mine.exclude(_paused()).update(paused_until=until):
            return begun
        mine.exclude(_paused() & Q(paused_until__gt=until)).update(paused_until=until)
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

    def slow_down(self, account: "ProviderAccount") -> int:
        """The provider is in trouble: half as many at once; at the slowest, and after a rest, its background rests.

        Guarded by what was read when the download was claimed, so a whole generation of failures counts once, and
        only what was begun afterwards can slow it down further. 1 when this one counted.
        """
        at_once, well = account.at_once(), account.is_well()
        before, rested = (account.cap, 0) if well else (account.slowed_to or account.cap, account.rests)
        # By what it was slowed to, too: failures that take half a minute each would let it grow, and never rest.
        at_slowest = rested > 0 or at_once <= SLOWEST or before <= 2 * SLOWEST
        rests = min(rested + 1, MOST_RESTS) if at_slowest else 0
        return self.filter(pk=account.pk, slowed_at=account.slowed_at).update(
            slowed_to=min(SLOWEST, account.cap) if at_slowest else max(min(SLOWEST, account.cap), at_once // 2),
            slowed_at=now(),
            rests=rests,
            rests_until=now(min(LONGEST_REST, 2**rests)) if at_slowest else None,
        )

    def recovered(self, account: "ProviderAccount") -> int:
        """The provider answers again: the rest is over, and once it has grown to its cap, all is forgotten.

        1 when it is forgotten.
        """
        mine = self.filter(pk=account.pk, slowed_at=account.slowed_at)
        if account.at_once() >= account.cap:
            return mine.update(slowed_to=None, slowed_at=None, rests=0, rests_until=None)
        if account.rests:
            mine.update(rests=0, rests_until=None)
        return 0


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
    most_at_once = models.PositiveSmallIntegerField(
        _("downloads at once"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("At most so many at the same time. Empty: as many as RECORDINGS_AT_ONCE says."),
    )
    bytes_per_second = models.PositiveBigIntegerField(
        _("bytes a second"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1000)],
        help_text=_("All its downloads together take no more. Empty: no limit of its own."),
    )
    paused_until = models.DateTimeField(_("paused until"), null=True, editable=False)
    slowed_to = models.PositiveSmallIntegerField(_("slowed down to"), null=True, editable=False)
    slowed_at = models.DateTimeField(_("slowed down at"), null=True, editable=False)
    rests = models.PositiveSmallIntegerField(_("rests in a row"), default=0, db_default=0, editable=False)
    rests_until = models.DateTimeField(_("background rests until"), null=True, editable=False)
    broken_since = models.DateTimeField(_("refused since"), null=True, editable=False)
    broken_at = models.DateTimeField(_("last refused"), null=True, editable=False)
    refused_lately: bool  # with_refusal()
    moment: datetime  # with_moment()

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

    @property
    def cap(self) -> int:
        """Downloads at once, at most."""
        return self.most_at_once or int(settings.RECORDINGS_AT_ONCE)

    def at_once(self) -> int:
        """Downloads at once at the `moment` it was read: the cap, or on the way back to it after a slow-down.

        It grows by itself with time, so that a success writes nothing. A time to come is from a clock that was wrong.
        """
        if self.slowed_to is None or self.slowed_at is None or self.slowed_at > self.moment:
            return self.cap
        since = self.slowed_at
        if self.rests_until and self._lasts(self.rests_until, LONGEST_REST):
            since = self.moment  # it does not grow while it rests
        elif self.rests_until:
            since = max(since, min(self.rests_until, self.moment))
        grown = (self.moment - since).total_seconds() / GROWS_EVERY
        return min(self.cap, self.slowed_to + int(grown))

    def is_slowed(self) -> bool:
        """Whether it was asked for less at that moment than its cap allows, or its background rested."""
        return self.at_once() < self.cap or self.is_resting()

    def is_well(self) -> bool:
        """Whether nothing was left at that moment of an earlier trouble, though no success has ended it by then."""
        if self.slowed_at is None:
            return True
        return not self.is_slowed() and (self.moment - self.slowed_at).total_seconds() > FORGOTTEN_AFTER

    def is_paused(self) -> bool:
        """Whether all of it waited at that moment, because the provider had asked for it."""
        return self._lasts(self.paused_until, settings.RECORDINGS_MAX_RETRY_AFTER)

    def is_resting(self) -> bool:
        """Whether its background downloads waited at that moment, because the provider was in trouble."""
        return self._lasts(self.rests_until, LONGEST_REST)

    def _lasts(self, until: datetime | None, longest: float) -> bool:
        """One further ahead than any wait that we give comes from a clock that was wrong."""
        return until is not None and 0 < (until - self.moment).total_seconds() <= longest


def _paused() -> Q:
    """The guard of a pause that can be meant; one further ahead comes from a clock that was wrong."""
    return Q(paused_until__gt=now(), paused_until__lte=now(settings.RECORDINGS_MAX_RETRY_AFTER))
