"""How the recordings stand now, for those who look after them: against the targets, what waits, what is wrong.

Each function is a bounded number of queries, whatever the table's size: counts come from indexes, lists are cut.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, QuerySet

from calls.clock import now
from calls.models import PRIORITY_BULK, PRIORITY_CLICK, CallLog, RecordingStatus
from recordings.lifecycle import Ask
from recordings.models import Attempt, Recording
from recordings.reasons import Reason
from recordings.status import payload

SHOWN = 20
"""Lines of a list that may be long; how many there are in all is said beside it."""

READY_AT_LEAST, FAILED_BELOW, UNDER_WAY_BELOW = 0.80, 0.01, 0.05
"""The targets, as shares of all recordings."""


@dataclass(frozen=True)
class Standing:
    """How many recordings there are and how they share out; `well` against a target, None where there is none."""

    name: str
    """A status, or `under_way`: queued and downloading together."""
    count: int
    share: float | None
    """From 0 to 1; None while there are no recordings at all."""
    well: bool | None = None


@dataclass(frozen=True)
class Failures:
    """The failed recordings of one reason that share a fate."""

    reason: str
    permanent: bool
    count: int
    retried: int
    """How many of them are tried again by themselves."""

    @property
    def ask(self) -> Ask | None:
        """What it takes to try them again; None where nothing may: they were deleted."""
        if self.reason == Reason.DELETED:
            return None
        return Ask.FORCE if self.permanent else Ask.PERSON


@dataclass(frozen=True)
class Oldest:
    """How many wait at one priority, and which of them has waited longest."""

    is_click: bool
    count: int
    row: CallLog | None
    seconds: float


@dataclass(frozen=True)
class Running:
    """One download: what, by which worker, for how long, how far."""

    row: CallLog
    worker: str
    seconds: float
    bytes_done: int | None


@dataclass(frozen=True)
class Downloading:
    """What is under way: how many by each worker, and the longest."""

    by_worker: list[tuple[str, int]]
    longest: list[Running]

    @property
    def count(self) -> int:
        """All of them."""
        return sum(count for _worker, count in self.by_worker)


def standings(counts: dict[str, int]) -> list[Standing]:
    """The counts by status against the targets. Pure."""
    total = sum(counts.values())
    under_way = counts[RecordingStatus.QUEUED] + counts[RecordingStatus.DOWNLOADING]

    def standing(name: str, count: int, at_least: float | None = None, below: float | None = None) -> Standing:
        if not total:
            return Standing(name, count, None)
        share = count / total
        well = None if at_least is None else share >= at_least
        return Standing(name, count, share, well if below is None else share < below)

    return [
        standing("ready", counts[RecordingStatus.READY], at_least=READY_AT_LEAST),
        standing("failed", counts[RecordingStatus.FAILED], below=FAILED_BELOW),
        standing("under_way", under_way, below=UNDER_WAY_BELOW),
        standing("queued", counts[RecordingStatus.QUEUED]),
        standing("downloading", counts[RecordingStatus.DOWNLOADING]),
        standing("missing", counts[RecordingStatus.MISSING]),
    ]


def failures() -> list[Failures]:
    """Why recordings failed, the most frequent reason first. One query.

    Every reason is named in it, so that it is found in the index of reasons; the rest of the table is not looked at.
    """
    failed = Recording.objects.filter(
        recording_download_status=RecordingStatus.FAILED, recording_reason__in=["", *Reason.values]
    )
    grouped = failed.order_by().values_list("recording_reason", "recording_permanent")
    counted = grouped.annotate(count=Count("*"), retried=Count("recording_next_retry_at"))
    found = [Failures(*values) for values in counted]
    return sorted(found, key=lambda one: (-one.count, one.reason))


def failed_for(reason: str, *, permanent: bool) -> QuerySet[CallLog]:
    """The failed recordings of one line of `failures`."""
    failed: QuerySet[CallLog] = Recording.objects.filter(
        recording_download_status=RecordingStatus.FAILED, recording_reason=reason, recording_permanent=permanent
    )
    return failed


def waiting() -> list[Oldest]:
    """The oldest that waits, first of the clicks, then of the background. Three queries of the queue's own index."""
    queued = CallLog.objects.filter(recording_download_status=RecordingStatus.QUEUED)  # none is without an address
    counts = dict(queued.order_by().values_list("recording_priority").annotate(count=Count("*")))
    return [_oldest(queued, priority, counts.get(priority, 0)) for priority in (PRIORITY_CLICK, PRIORITY_BULK)]


def _oldest(queued: QuerySet[CallLog], priority: int, count: int) -> Oldest:
    theirs = queued.filter(recording_priority=priority).select_related("business").annotate(moment=now())
    row = theirs.order_by(F("recording_priority").desc(), "recording_last_enqueue_at", "pk").first()
    return Oldest(priority == PRIORITY_CLICK, count, row, _seconds(row, row.recording_last_enqueue_at) if row else 0)


def downloading() -> Downloading:
    """What is being downloaded, by the attempts whose token is their row's. Two queries."""
    running = Attempt.objects.running().filter(
        recording__recording_download_status=RecordingStatus.DOWNLOADING, recording__recording_token=F("token")
    )
    by_worker = running.order_by("worker").values_list("worker").annotate(count=Count("*"))
    longest = running.select_related("recording__business").annotate(moment=now()).order_by("started_at", "pk")
    return Downloading(list(by_worker), [_running(attempt) for attempt in longest[:SHOWN]])


def _running(attempt: Attempt) -> Running:
    seconds = _seconds(attempt, attempt.started_at)
    return Running(attempt.recording, attempt.worker, seconds, payload(attempt.recording)["bytes_done"])


def _seconds(row: Any, since: datetime | None) -> float:
    """How long ago `since` was when this row was read, by the database's clock."""
    return max(0.0, (row.moment - since).total_seconds()) if since else 0.0
