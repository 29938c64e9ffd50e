"""Holding a request until its recording is ready: how many may wait, and the one thread that looks for all of them."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from calls.models import CallLog, RecordingStatus

log = logging.getLogger(__name__)

LOOK_EVERY = 0.1
"""Seconds between two looks at the rows that are waited for."""

LONGEST = 25
"""Seconds that a request may be held."""

_UNDER_WAY = {RecordingStatus.QUEUED, RecordingStatus.DOWNLOADING}


class LongAnswers:
    """The threads of this process that may be held by long answers; the others are kept for short ones."""

    def __init__(self, places: int) -> None:
        self._free = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Whether there was a place; it is kept until the context ends. Never waits for one."""
        taken = self._free.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._free.release()


@cache
def long_answers() -> LongAnswers:
    """This process's, as many as the settings leave."""
    return LongAnswers(settings.WEB_THREADS - settings.WEB_SHORT_THREADS)


class Lookout:
    """Waits on behalf of many requests: one thread reads all their rows in one query, and stops when nobody waits."""

    def __init__(self, every: float = LOOK_EVERY) -> None:
        self._every = every
        self._lock = threading.Lock()
        self._waiting: dict[int, set[_Waiter]] = defaultdict(set)
        self._thread: threading.Thread | None = None

    def wait(self, row: CallLog, seconds: float) -> None:
        """Hold the calling thread until `row` can be answered for, at most `seconds`. It then has to be read again.

        The thread's database connection is given up meanwhile: many may wait, and connections are few.
        """
        waiter = _Waiter(seconds)
        if _is_settled(row.recording_download_status, row.recording_next_retry_at, waiter.until):
            return
        if not connection.in_atomic_block:
            connection.close()
        with self._lock:
            self._waiting[row.pk].add(waiter)
            if self._thread is None:
                thread = threading.Thread(target=self._look, name="recordings-lookout", daemon=True)
                thread.start()  # may fail for want of memory: then the next one who waits tries again
                self._thread = thread
        try:
            waiter.told.wait(seconds)
        finally:
            with self._lock:
                self._waiting[row.pk].discard(waiter)
                if not self._waiting[row.pk]:
                    del self._waiting[row.pk]

    def _look(self) -> None:
        try:
            while waited_for := self._next():
                self._tell(waited_for)
                time.sleep(self._every)
        finally:
            with self._lock:
                if self._thread is threading.current_thread():  # ended by a fault: the next to wait starts another
                    self._thread = None
            connection.close()

    def _next(self) -> list[int]:
        """What to look for now. When that is nothing, the thread gives up its office in the same instant."""
        with self._lock:
            if not self._waiting:
                self._thread = None
            return list(self._waiting)

    def _tell(self, waited_for: list[int]) -> None:
        columns = ("pk", "recording_download_status", "recording_next_retry_at")
        try:
            rows = CallLog.objects.filter(pk__in=waited_for).values_list(*columns)
            found = {pk: (status, next_retry_at) for pk, status, next_retry_at in rows}
        except Error:  # they are told when their time is up, if it does not come back
            log.warning("Waiting recordings could not be read", exc_info=True, extra={"action": "wait"})
            close_old_connections()
            return
        with self._lock:
            for pk in waited_for:
                for waiter in self._waiting.get(pk, ()):
                    if pk not in found or _is_settled(*found[pk], waiter.until):
                        waiter.told.set()


class _Waiter:
    """One held request."""

    def __init__(self, seconds: float) -> None:
        self.until = timezone.now() + timedelta(seconds=seconds)
        self.told = threading.Event()


def _is_settled(status: str, next_retry_at: datetime | None, until: datetime) -> bool:
    """Nothing more will happen by itself before `until`."""
    if status == RecordingStatus.FAILED:
        return next_retry_at is None or next_retry_at > until
    return status not in _UNDER_WAY


lookout = Lookout()
"""The one of this process."""
