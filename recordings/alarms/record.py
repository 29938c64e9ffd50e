"""Alarm: one thing that is wrong, from the first look that found it until it is over; and AlarmMessage, who was told.

As everywhere, each step is one statement whose row count is the answer: however many processes look at once, one of
them raises an alarm, one clears it, and one sends each message.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When
from django.utils.translation import gettext_lazy as _

from calls.clock import now
from calls.models import Business

HELD, CALM = 25, 60
"""Seconds: wrong at two looks so far apart, and never well in between, raises an alarm; well for so long clears it."""

GAP = 150
"""Seconds without a look after which what was seen before counts no more."""

PENDING_KEPT, KEPT = timedelta(hours=1), timedelta(days=90)
"""How long what was never raised, and what is over, stays in the table."""


class AlarmName(models.TextChoices):
    """What can be wrong: the codes that webhooks, log lines and the documentation share."""

    ACCOUNT_REFUSED = "account_refused", _("The provider refuses the account")
    STORAGE_AWAY = "storage_away", _("The storage is away")
    STORAGE_LOW = "storage_low", _("The disk is nearly full")
    STORAGE_READ_ONLY = "storage_read_only", _("The storage can't be written to")
    WORKERS_SILENT = "workers_silent", _("The workers are silent")
    FAILURES_RISING = "failures_rising", _("Many downloads fail")
    CLICKS_WAITING = "clicks_waiting", _("Clicked recordings are waiting")


class Way(models.TextChoices):
    """How somebody is told."""

    MAIL = "mail", _("mail")
    MANAGERS = "managers", _("mail to managers")
    WEBHOOK = "webhook", _("webhook")


class State(models.TextChoices):
    """What a message says of its alarm."""

    RAISED = "raised", _("raised")
    CLEARED = "cleared", _("over")


class AlarmQuerySet(QuerySet["Alarm"]):
    """Adjectives read, verbs write."""

    def open(self) -> Self:
        """Not over: raised, or seen once and waiting to be seen again."""
        return self.filter(cleared_at=None)

    def raised(self) -> Self:
        """Those that somebody was, or will be, told of."""
        return self.exclude(raised_at=None)

    def notice(self, name: str, business_id: int | None, *, words: str, do: str, since: datetime | None) -> None:
        """This look found it wrong."""
        whose = Q(business=None) if business_id is None else Q(business_id=business_id)
        mine = self.open().filter(whose, name=name)
        facts = {"words": words, "do": do, "since": since}
        first_seen = Case(When(_unseen_for_long() & Q(raised_at=None), then=now()), default=F("first_seen_at"))
        if not mine.update(first_seen_at=first_seen, looked_at=now(), calm_since=None, **facts):
            self.bulk_create([Alarm(name=name, business_id=business_id, **facts)], ignore_conflicts=True)

    def raise_held(self, ways: Iterable[str]) -> list["Alarm"]:
        """Raise what was wrong at two looks, with a message for each of `ways`; returns those that were raised here.

        Also those that are raised already and that somebody was not told of: raised by a look of a process with fewer
        ways, at a terminal perhaps, or before a way was set.
        """
        ways, mine = list(ways), []
        held = self.open().filter(raised_at=None, looked_at__gte=F("first_seen_at") + timedelta(seconds=HELD))
        for alarm in held.select_related("business"):
            with transaction.atomic():
                if held.filter(pk=alarm.pk).update(raised_at=now()):
                    AlarmMessage.objects.write(alarm, State.RAISED, alarm.ways_of(ways))
                    mine.append(alarm)
        known = self.open().raised().filter(calm_since=None).exclude(pk__in=[one.pk for one in mine])
        for alarm in known.prefetch_related("messages"):
            told = {message.way for message in alarm.messages.all()}
            if untold := [way for way in alarm.ways_of(ways) if way not in told]:
                AlarmMessage.objects.write(alarm, State.RAISED, untold)
        return mine

    def calm(self) -> None:
        """This look found these well."""
        self.open().filter(raised_at=None).update(cleared_at=now())  # nobody was told, nobody will be
        calm_since = Case(When(Q(calm_since=None) | _unseen_for_long(), then=now()), default=F("calm_since"))
        self.open().raised().update(calm_since=calm_since, looked_at=now())

    def clear_calm(self) -> list["Alarm"]:
        """End what has been well for long enough, and tell those who were told of it; returns those ended here."""
        mine = []
        calm = self.open().raised().filter(looked_at__gte=F("calm_since") + timedelta(seconds=CALM))
        for alarm in calm.select_related("business"):
            with transaction.atomic():
                if calm.filter(pk=alarm.pk).update(cleared_at=now()):
                    told = AlarmMessage.objects.filter(alarm=alarm, state=State.RAISED).values_list("way", flat=True)
                    AlarmMessage.objects.write(alarm, State.CLEARED, told)
                    mine.append(alarm)
        return mine

    def prune(self) -> int:
        """Delete what ended long ago. How many rows."""
        old = Q(cleared_at__lt=now(-KEPT.total_seconds()))
        old |= Q(cleared_at__lt=now(-PENDING_KEPT.total_seconds()), raised_at=None)
        return self.filter(old).delete()[0]


def _unseen_for_long() -> Q:
    """No look for a while; or one far in the future, when a clock was wrong.

    Not one just ahead: a statement that waited for another's lock still has the time of its own beginning.
    """
    return Q(looked_at__lt=now(-GAP)) | Q(looked_at__gt=now(GAP))


def new_key() -> str:
    """Differs from every other, also from those of a database that was there before this one."""
    return uuid.uuid4().hex


class Alarm(models.Model):
    """Something that is wrong. `business` is null where it concerns them all."""

    key = models.CharField(max_length=32, default=new_key, editable=False)
    name = models.CharField(_("name"), max_length=24, choices=AlarmName)
    business = models.ForeignKey(Business, models.CASCADE, null=True, verbose_name=_("business"))
    words = models.TextField(_("what"))
    do = models.TextField(_("what to do"))
    since = models.DateTimeField(_("since"), null=True, help_text="When it began, where that is known.")
    first_seen_at = models.DateTimeField(_("first seen"), db_default=now())
    looked_at = models.DateTimeField(_("last looked at"), db_default=now())
    raised_at = models.DateTimeField(_("raised"), null=True)
    calm_since = models.DateTimeField(_("well since"), null=True)
    cleared_at = models.DateTimeField(_("over"), null=True)

    objects = AlarmQuerySet.as_manager()

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["name", "business"], condition=Q(cleared_at=None), name="one_open_alarm_a_business"
            ),
            models.UniqueConstraint(  # two NULLs differ
                fields=["name"], condition=Q(cleared_at=None, business=None), name="one_open_alarm_of_all"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_name_display()}: {self.business}" if self.business else str(self.get_name_display())

    def ways_of(self, ways: Iterable[str]) -> list[str]:
        """Which of these it is told in: a business's managers hear of their account, which they can mend."""
        return [way for way in ways if way != Way.MANAGERS or self.name == AlarmName.ACCOUNT_REFUSED]

    @property
    def began(self) -> datetime:
        """Since when it is wrong, as far as is known."""
        return self.since or self.first_seen_at


DELAYS = (25, 60, 300, 900)
"""Seconds until a message that could not be sent is tried again; the last for all further tries."""

CLAIMED = 120
"""Seconds for which a message belongs to the process that sends it; far longer than sending can take."""

GIVEN_UP_AFTER = 86_400
"""Seconds after which a message that could not be sent is tried no more."""


class AlarmMessageQuerySet(QuerySet["AlarmMessage"]):
    """Adjectives read, verbs write."""

    def write(self, alarm: Alarm, state: State, ways: Iterable[str]) -> None:
        """Have this told in each of these ways; `send` does it, afterwards."""
        self.bulk_create([AlarmMessage(alarm=alarm, state=state, way=way) for way in ways], ignore_conflicts=True)

    def unsent(self) -> Self:
        """Neither sent nor given up."""
        return self.filter(sent_at=None, given_up=False)

    def due(self) -> Self:
        """Unsent, its time has come, and what was to be said before it is settled: the all-clear comes second."""
        longest = max(CLAIMED, *DELAYS)
        its_time = Q(next_try_at__lte=now()) | Q(next_try_at__gt=now(longest))  # further ahead: a clock was wrong
        before = AlarmMessage.objects.unsent().filter(
            alarm=OuterRef("alarm"), way=OuterRef("way"), pk__lt=OuterRef("pk")
        )
        return self.unsent().filter(its_time, ~Exists(before))

    def claim(self, message: "AlarmMessage") -> int:
        """1 for the one process that may try to send it now."""
        mine = self.due().filter(pk=message.pk)
        return mine.update(tries=F("tries") + 1, next_try_at=now(CLAIMED))

    def sent(self, message: "AlarmMessage") -> None:
        """It has been taken."""
        self.filter(pk=message.pk).update(sent_at=now(), error="")

    def put_off(self, message: "AlarmMessage", error: str) -> None:
        """It could not be sent; it is tried again later, up to a day after it was written."""
        delay = DELAYS[min(message.tries, len(DELAYS) - 1)]
        self.filter(pk=message.pk).update(next_try_at=now(delay), error=error[:200])

    def give_up(self) -> int:
        """Try those no more that could not be sent for a day. How many."""
        return self.unsent().filter(created_at__lt=now(-GIVEN_UP_AFTER)).update(given_up=True)


class AlarmMessage(models.Model):
    """One thing to say about an alarm, in one way."""

    alarm = models.ForeignKey(Alarm, models.CASCADE, related_name="messages", verbose_name=_("alarm"))
    state = models.CharField(_("says"), max_length=8, choices=State)
    way = models.CharField(_("way"), max_length=8, choices=Way)
    created_at = models.DateTimeField(_("written"), db_default=now())
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_try_at = models.DateTimeField(_("next try"), db_default=now())
    sent_at = models.DateTimeField(_("told"), null=True)
    given_up = models.BooleanField(_("given up"), default=False)
    error = models.CharField(_("error"), max_length=200, blank=True, default="")

    objects = AlarmMessageQuerySet.as_manager()

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["alarm", "state", "way"], name="each_thing_said_once_a_way"),
        ]
        indexes: ClassVar = [
            models.Index("next_try_at", name="alarm_message_unsent", condition=Q(sent_at=None, given_up=False))
        ]

    def __str__(self) -> str:
        return f"{self.alarm_id}: {self.state}, {self.way}"
