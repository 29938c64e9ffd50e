"""The sweep puts right what crashes left behind; the clean-up removes the files that nothing will use again."""

import logging
from datetime import timedelta
from typing import NamedTuple

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from calls.clock import now
from calls.models import CallLog, RecordingStatus
from recordings import bell, counting, sidecar
from recordings.attempts import Attempt, Outcome
from recordings.away import tell_storage
from recordings.download.errors import StorageError
from recordings.models import Recording
from recordings.part import UNBORN
from recordings.reasons import Reason
from recordings.results import Held
from recordings.samples import StatusSample
from recordings.storage import Storage, StoredFile, default_storage

log = logging.getLogger(__name__)

PART_KEPT_FOR = timedelta(days=1)
JUST_NOW, TOLD = 2, 5  # seconds, and calls, that one line of a sweep goes back and names
LOOK_BACK = timedelta(hours=2)
"""How long the clean-up, which runs each minute, goes on looking at what ended; after that it is reconcile's."""


class Swept(NamedTuple):
    """What one sweep did, in rows; `rung` is 1 when it rang again for a silent queue."""

    released: int
    retried: int
    rung: int

    @property
    def total(self) -> int:
        """Everything that was put right."""
        return sum(self)


def sweep() -> Swept:
    """Release what the dead held, queue the retries that are due, ring again where it is silent."""
    released = Recording.objects.release(dead=_proven_dead(default_storage()))
    swept = Swept(released, Recording.objects.retry_due(), int(Recording.objects.ring_again()))
    _write_the_log_back()
    for action, count in swept._asdict().items():
        if count:
            counting.SWEPT.add(action, amount=count)
    if released:
        facts = {"action": "sweep", "count": released, **_whose()}
        log.warning("Recordings released from dead workers", extra=facts)
    return swept


def _write_the_log_back() -> None:
    """SQLite's WAL into its database, holding up nobody (sqlite.org/pragma.html#pragma_wal_checkpoint, PASSIVE)."""
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _whose() -> dict[str, str]:
    """Which workers held what was just released, and the first of the calls."""
    crashed = Attempt.objects.filter(outcome=Outcome.CRASHED, ended_at__gt=now(-JUST_NOW)).order_by("-ended_at", "-pk")
    found = list(crashed.values_list("worker", "recording__call_sid")[:TOLD])
    workers = ", ".join(sorted({worker for worker, _ in found}))
    return {"workers": workers, "calls": ", ".join(sid for _, sid in found)}


def _proven_dead(storage: Storage) -> list[Held]:
    """Leases whose writer is known to have died: its part is there, and nobody holds the lock on it."""
    held = Recording.objects.filter(recording_download_status=RecordingStatus.DOWNLOADING)
    leases = held.order_by().values_list("pk", "recording_token")
    return [(pk, token) for pk, token in leases if token and storage.writer_is_dead(pk, token)]


def clean_up() -> int:
    """Remove files of deleted recordings, files that lost to another's, and old parts; prune the queue's records.

    First the minute's sample of where all stand: the plots must not wait for a slow disk.
    """
    StatusSample.objects.take()
    storage, removed = default_storage(), bell.prune() + StatusSample.objects.prune()
    try:
        for pk in filter(storage.has_folder, _left_something()):
            files = storage.files_of(pk)
            # Read after its files were listed: a file that was born since then is not among them, and the row names
            # the one that is served now.
            row = CallLog.objects.get(pk=pk)
            removed += sum(storage.delete(file.name) for file in files if removable(storage, row, file))
            removed += sidecar.remove_orphans(storage, pk)
    except StorageError as error:  # away, or not to be written to: nothing is cleaned up, and it is said once
        tell_storage(error)
    return removed


def _left_something() -> list[int]:
    """Recordings that may have files too many: deleted lately, or an attempt was cut off lately or a day ago."""
    day, back = PART_KEPT_FOR.total_seconds(), LOOK_BACK.total_seconds()
    ended = Q(ended_at__gt=now(-back)) | Q(ended_at__gt=now(-day - back), ended_at__lt=now(-day))
    interrupted = [Outcome.CRASHED, Outcome.GIVEN_BACK, Outcome.FAILED]
    cut_off = Attempt.objects.filter(ended, outcome__in=interrupted).values("recording_id")
    deleted = Q(recording_reason=Reason.DELETED, updated_at__gt=now(-back))
    return list(CallLog.objects.filter(Q(pk__in=cut_off) | deleted).values_list("pk", flat=True))


def removable(storage: Storage, row: CallLog, file: StoredFile) -> bool:
    """Whether nothing will use this file again. Never the file of the row, nor one of the row's running attempt."""
    deleted = row.recording_reason == Reason.DELETED
    if file.name == row.recording_file or file.token == row.recording_token:
        return False
    if file.is_part:
        old = timezone.now().timestamp() - file.modified > PART_KEPT_FOR.total_seconds()
        if file.name.endswith(UNBORN):  # a kill in the instant of its birth; nobody goes on from it
            return old
        return (old or deleted) and storage.writer_is_dead(file.recording_id, file.token)
    return deleted or row.recording_download_status == RecordingStatus.READY
