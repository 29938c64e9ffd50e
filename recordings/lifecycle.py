"""The recording's life: the verbs of people and of the sweep. The worker's are in leases.py; see docs/lifecycle.md.

All deduplication is the WHERE of one UPDATE. There is no second place that remembers.
"""

import enum
import logging
import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any, Self

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Count, Q, When

from calls.clock import now
from calls.models import PRIORITY_BULK, PRIORITY_CLICK, CallLog, RecordingStatus
from recordings import backoff, bell, counting
from recordings.leases import NO_COUNTS, NO_FAILURE, NO_FILE, NO_LEASE, LeaseQuerySet
from recordings.reasons import Reason
from recordings.results import Whole

log = logging.getLogger(__name__)

COOLDOWN = 60
"""Seconds for which a `missing` recording is not queued again."""

_COLD = {RecordingStatus.MISSING, RecordingStatus.FAILED}

AT_ONCE = 500
"""Due retries that one transaction queues: small enough that a click between two does not wait."""

SILENCE = 15
"""Seconds a recording waits in the queue before the sweep rings again for it."""


class Ask(enum.Enum):
    """How a download is asked for, and so what it may beat."""

    PLAY = "play"
    """By pressing Play, or a program's GET: obeys the cooldown and the backoff."""
    PERSON = "person"
    """By name (POST download, the admin, a command): also beats a backoff, and starts an exhausted one anew."""
    FORCE = "force"
    """By a manager or operator: also beats a permanent failure, save that the recording was deleted."""


class Answer(enum.StrEnum):
    """What asking did."""

    ENQUEUED = "enqueued"
    UNDER_WAY = "under_way"
    READY = "ready"
    COOLING_DOWN = "cooling_down"
    BACKING_OFF = "backing_off"
    FAILED = "failed"
    NOT_STARTED = "not_started"
    """The request may not start a download (a HEAD, a prefetch, another site); nothing was written."""


def its_time() -> Q:
    """The guard of a retry that is due; one further ahead than any wait we give comes from a clock that was wrong."""
    longest = max(backoff.DELAYS[-1], settings.RECORDINGS_MAX_RETRY_AFTER)
    return Q(recording_next_retry_at__lte=now()) | Q(recording_next_retry_at__gt=now(longest))


class RecordingQuerySet(LeaseQuerySet):
    """Recordings: adjectives read, verbs write."""

    # --- adjectives

    def queueable(self, ask: Ask) -> Self:
        """Those that `queue` would take."""
        cool = Q(recording_last_enqueue_at__isnull=True) | Q(recording_last_enqueue_at__lte=now(-COOLDOWN))
        cool |= Q(recording_last_enqueue_at__gt=now())  # in the future: a clock was wrong, once
        failed = Q(recording_download_status=RecordingStatus.FAILED) & ~Q(recording_reason=Reason.DELETED)
        if ask is not Ask.FORCE:
            failed &= Q(recording_permanent=False)
        if ask is Ask.PLAY:
            failed &= its_time()
        return self.filter(Q(recording_download_status=RecordingStatus.MISSING) & cool | failed)

    def due(self) -> Self:
        """Failed for now, and their time has come."""
        return self.filter(its_time(), recording_download_status=RecordingStatus.FAILED, recording_permanent=False)

    def backing_off(self) -> Self:
        """Failed for now, with a time to try again."""
        return self.filter(recording_download_status=RecordingStatus.FAILED, recording_next_retry_at__isnull=False)

    def counts(self) -> dict[str, int]:
        """How many stand in each status, zeros included.

        Counted by reason too, as `recording_counts` is ordered: that index alone tells, and nothing is sorted.
        """
        counts = dict.fromkeys(RecordingStatus.values, 0)
        rows = self.order_by().values_list("recording_reason", "recording_download_status")
        for _reason, status, count in rows.annotate(count=Count("*")):
            counts[status] += count
        return counts

    # --- people's verbs

    def ask(self, row: CallLog, ask: Ask) -> Answer:
        """Ask for one recording, just read as `row`: queue it, or say why not. One behind a backfill is promoted.

        A person's question costs a read when there is nothing to do; the row's own guard decides when there is.
        """
        answer = self.ask_each([row], ask)[row.pk]
        if answer is Answer.ENQUEUED:
            row.refresh_from_db()
        tell(row, answer)
        return answer

    def ask_each(self, rows: Sequence[CallLog], ask: Ask) -> dict[int, Answer]:
        """The same for many, in one write: the answers by id. All rows are read again but those that were queued.

        Whoever asked tells of it (`tell`), under the name of their own request.
        """
        answers = {}
        cold = [row for row in rows if row.recording_download_status in _COLD]
        queued = self.filter(_theirs(cold))._queue_clicked(ask, len(cold)) if cold else set()
        _read_again([row for row in cold if row.pk not in queued])
        for row in rows:
            if row.pk in queued:
                answers[row.pk] = Answer.ENQUEUED
                continue
            if row.recording_download_status == RecordingStatus.QUEUED and row.recording_priority < PRIORITY_CLICK:
                self.filter(_theirs([row])).promote()
            answers[row.pk] = standing(row.recording_download_status, exhausted=row.recording_next_retry_at is None)
        return answers

    def _queue_clicked(self, ask: Ask, count: int) -> set[int]:
        """Queue those of these `count` that may be; which they were.

        Of many, others may be quicker with some, so they are looked at under the lock. One is looked at before: a
        question whose answer is no takes no lock.
        """
        able = self.queueable(ask)  # made before SQLite's lock is taken, for which others wait
        if count == 1:
            may = set(able.values_list("pk", flat=True))
            return may if may and able._queue(ask, PRIORITY_CLICK) else set()
        with transaction.atomic():
            free = set(able.locked().values_list("pk", flat=True))
            if free:
                able.filter(pk__in=free)._queue(ask, PRIORITY_CLICK)
        return free

    def queue(self, ask: Ask, priority: int = PRIORITY_BULK, *, ring: bool = True) -> int:
        """Queue all of these that may be, under one bell; the answer is how many.

        `ring=False` is for a further chunk of bulk work, whose first chunk rang.
        """
        return self.queueable(ask)._queue(ask, priority, ring=ring)

    def _queue(self, ask: Ask, priority: int, *, ring: bool = True) -> int:
        """`queue`, of a selection that is `queueable` already."""
        anew = {} if ask is Ask.PLAY else NO_COUNTS
        with transaction.atomic():
            queued = self.locked().move(
                "queue",
                RecordingStatus.QUEUED,
                **NO_FAILURE,
                **NO_LEASE,
                **anew,
                recording_last_enqueue_at=now(),
                recording_priority=priority,
            )
            if queued and ring:
                bell.ring()
        return queued

    def promote(self) -> int:
        """Move these up in the queue because a person waits now. A wake-up, no bell: one has rung for them.

        It may have been answered in vain, while they might not be begun: whom the wake-up reaches sees to that.
        """
        waiting = self.filter(recording_download_status=RecordingStatus.QUEUED, recording_priority__lt=PRIORITY_CLICK)
        with transaction.atomic():
            promoted = waiting.locked().update(recording_priority=PRIORITY_CLICK, updated_at=now())
            transaction.on_commit(bell.wake)
        return promoted

    # --- the sweep's verbs

    def retry_due(self) -> int:
        """Queue the failed ones whose time has come, under one bell; of very many the first AT_ONCE."""
        first = list(self.due().order_by("recording_next_retry_at", "pk").values_list("pk", flat=True)[:AT_ONCE])
        if not first:
            return 0
        with transaction.atomic():
            due = self.due().filter(pk__in=first).locked()
            queued = due.move("retry_due", RecordingStatus.QUEUED, **NO_FAILURE, recording_last_enqueue_at=now())
            if queued:
                bell.ring()
        return queued

    def ring_again(self) -> bool:
        """Ring one bell if anything that may be begun has waited in silence and no bell waits to be heard."""
        silent = self.filter(recording_download_status=RecordingStatus.QUEUED).filter(
            Q(recording_last_enqueue_at__lte=now(-SILENCE))
            | Q(recording_last_enqueue_at__isnull=True)
            | Q(recording_last_enqueue_at__gt=now())
        )
        if not silent.exists() or not self.may_start() or bell.is_rung():
            return False
        with transaction.atomic():
            bell.ring()
        return True

    def adopt(self, row: CallLog, whole: Whole) -> int:
        """Make `row` ready with a whole file that was found for it, if it still is as it was read."""
        if row.recording_download_status == RecordingStatus.DOWNLOADING:
            return 0  # its worker adopts: finish() under its own token
        as_read = Q(recording_download_status=row.recording_download_status, recording_url=row.recording_url)
        columns: dict[str, Any] = whole.columns() | NO_LEASE | NO_FAILURE | NO_COUNTS | {"recording_ready_at": now()}
        kept = as_read & ~Q(recording_reason=Reason.DELETED)
        return self.filter(pk=row.pk, business_id=row.business_id).move("adopt", RecordingStatus.READY, kept, **columns)

    def lose(self, row: CallLog) -> int:
        """The file of `row` is gone: missing, if the row still names that file.

        Lost within a minute of being written, it cools down first: disks that are not shared would fetch for ever.
        """
        fresh = When(recording_ready_at__gt=now(-COOLDOWN), then=now())
        lost = self.filter(pk=row.pk, business_id=row.business_id).move(
            "lose",
            RecordingStatus.MISSING,
            Q(recording_file=row.recording_file),
            **NO_FILE,
            recording_last_enqueue_at=Case(fresh),  # else null
        )
        if lost:
            log.warning("Recording file lost", extra=_about(row, "lose"))
        return lost

    def delete_audio(self) -> int:
        """Delete the audio of these for good; the clean-up removes their files."""
        return self.move(
            "delete",
            RecordingStatus.FAILED,
            **NO_FILE,
            **NO_LEASE,
            recording_reason=Reason.DELETED,
            recording_permanent=True,
            recording_next_retry_at=None,
        )


def standing(status: str, *, exhausted: bool) -> Answer:
    """Why a recording in this status was not queued; `exhausted`: it has no time to try again."""
    if status == RecordingStatus.FAILED:
        return Answer.FAILED if exhausted else Answer.BACKING_OFF
    other = {RecordingStatus.READY: Answer.READY, RecordingStatus.MISSING: Answer.COOLING_DOWN}
    return other.get(RecordingStatus(status), Answer.UNDER_WAY)


def tell(row: CallLog, answer: Answer) -> None:
    """The one line of a click, and its count; what was asked for in vain is for debugging."""
    counting.ANSWERS.add(answer.value)
    if answer is Answer.ENQUEUED:
        log.info("Priority download job enqueued", extra=_about(row, "enqueue"))
    else:
        log.debug("Download not enqueued", extra=_about(row, "deduplicate") | {"answer": answer.value})


def _theirs(rows: Sequence[CallLog]) -> Q:
    """These rows, while they belong to the businesses for which they were read."""
    by_business: dict[int, list[int]] = {}
    for row in rows:
        by_business.setdefault(row.business_id, []).append(row.pk)
    return reduce(operator.or_, (Q(business_id=owner, pk__in=ids) for owner, ids in by_business.items()))


def _read_again(rows: Sequence[CallLog]) -> None:
    """What refresh_from_db does, for all of them in one query."""
    found = CallLog.objects.in_bulk([row.pk for row in rows]) if rows else {}
    for row in rows:
        for column, value in vars(found.get(row.pk, row)).items():
            if not column.startswith("_"):
                setattr(row, column, value)


def _about(row: CallLog, action: str) -> dict[str, Any]:
    return {"action": action, "call_sid": row.call_sid, "business": row.business_id}
