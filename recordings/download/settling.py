"""Results of attempts, on their way into the rows: kept until the database has taken them, told afterwards."""

import functools
import logging
import math
from collections.abc import Callable, Container, Iterable
from time import monotonic

from django.conf import settings

from recordings.download.attempt import Job
from recordings.download.crew import Result
from recordings.download.errors import StorageError, StorageFull
from recordings.download.marks import Marks
from recordings.models import Recording
from recordings.results import Failed, Finished, Held
from recordings.storage import default_storage

log = logging.getLogger(__name__)

GATHER = 0.2
"""Seconds for which results of the background are gathered: between few and large transactions, a click finds the
database and the main thread free."""


class Settling:
    """The results of one drain that are not yet written. For its main thread."""

    def __init__(self, forget: Callable[[Job], None]) -> None:
        """`forget` is called for each job whose result was written."""
        self._forget = forget
        self._unsettled: list[Result] = []
        self._gathering_since = 0.0
        self._marks = Marks()

    def take(self, results: Iterable[Result]) -> None:
        """Keep these until they are written."""
        if not self._unsettled:
            self._gathering_since = monotonic()
        self._unsettled += results

    def due_in(self, under_way: int) -> float:
        """Seconds until they want to be written; infinite when there are none. `under_way`: jobs, these among them.

        At once: a click's, a good part of all slots, and where no more can come.
        """
        if not self._unsettled:
            return math.inf
        enough = min(under_way, settings.RECORDINGS_SLOTS // 4)
        if len(self._unsettled) >= enough or any(job.click for job, _ in self._unsettled):
            return 0.0
        return max(0.0, self._gathering_since + GATHER - monotonic())

    def settle(self) -> bool:
        """Write them all, in two transactions; False when there was nothing.

        Raises django.db.Error; then all of them are kept for the next time.
        """
        if not self._unsettled:
            return False
        self._make_durable()
        finished = [result for _, result in self._unsettled if isinstance(result, Finished)]
        failed = [result for _, result in self._unsettled if isinstance(result, Failed)]
        stopped = [job.held for job, result in self._unsettled if result is None]
        won = Recording.objects.finish(finished) if finished else set()
        won |= Recording.objects.fail(failed) if failed else set()
        if stopped:
            Recording.objects.give_back(stopped)
        settled, self._unsettled = self._unsettled, []
        for job, _ in settled:  # all of them first: telling asks the database, which may go away in the middle
            self._forget(job)
        for job, result in settled:
            if result is not None:
                self._tell(job, result, counted=job.held in won)
        return True

    def keep_only(self, held: Container[Held]) -> None:
        """Drop the results of all other leases: they are over, and somebody else may have the recording."""
        self._unsettled = [(job, result) for job, result in self._unsettled if job.held in held]

    def _make_durable(self) -> None:
        """Before any row names them: the folders of new files. One call for a batch; a disk that can't fails them."""
        if not any(isinstance(result, Finished) for _, result in self._unsettled):
            return
        try:
            default_storage().sync()
        except (StorageError, StorageFull) as error:
            failed = functools.partial(Failed, reason=error.reason, permanent=False, detail=error.detail)
            self._unsettled = [
                (job, failed(job.held, url=job.url) if isinstance(result, Finished) else result)
                for job, result in self._unsettled
            ]

    def _tell(self, job: Job, result: Finished | Failed, *, counted: bool) -> None:
        """One line a download, and what the account must know of it."""
        about = {"call_sid": job.call_sid, "business": job.business}
        if not counted:
            log.debug("Result of a lost lease dropped", extra=about | {"action": "fenced"})
        elif isinstance(result, Finished):
            level = logging.DEBUG if job.click else logging.INFO  # a click has had its line when it was enqueued
            log.log(level, "Recording downloaded", extra=about | {"action": "finish", "bytes": result.whole.bytes})
            if job.account_row and not result.adopted:
                self._marks.succeeded(job.account_row)
        else:
            facts = {"action": "fail", "reason": result.reason.value, "detail": result.detail}
            log.info("Recording download failed", extra=about | facts)
            if job.account_row:
                self._marks.failed(job.account_row, result)
