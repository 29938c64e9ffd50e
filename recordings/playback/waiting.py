"""Holding a request until its recording is ready; and how many requests a process may hold, whatever for."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings
from django.db import connection
from django.utils import timezone

from calls.models import CallLog, RecordingStatus
from recordings.playback import turns
from recordings.playback.lookout import Lookout, lookout

LONGEST = 25
"""Seconds that a request may be held."""

_UNDER_WAY = {RecordingStatus.QUEUED, RecordingStatus.DOWNLOADING}


class LongAnswers:
    """The threads of this process that may be held by long answers; the others are kept for short ones."""

    def __init__(self, places: int, for_resumes: int = 0, for_others: int = 0) -> None:
        """`for_resumes` of the places are for those who come back after their connection broke.

        `for_others`: so many are left when one business holds all that it may; half of those for resumes it may take
        beyond that.
        """
        self._free = places
        self._for_resumes = for_resumes
        self._share = places - for_others
        self._held: Counter[int] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def place(self, business: int, *, resumes: bool = False) -> Iterator[bool]:
        """Whether there was a place for this business (an id); kept until the context ends. Never waits for one."""
        with self._lock:
            most = self._share + (self._for_resumes // 2 if resumes else 0)
            taken = self._free > (0 if resumes else self._for_resumes) and self._held[business] < most
            self._free -= taken
            self._held[business] += taken
        try:
            yield taken
        finally:
            with self._lock:
                self._free += taken
                self._held[business] -= taken
                if not self._held[business]:
                    del self._held[business]


@cache
def long_answers() -> LongAnswers:
    """This process's, as many as the settings leave."""
    places = settings.WEB_THREADS - settings.WEB_SHORT_THREADS
    return LongAnswers(places, for_resumes=places // 8, for_others=places // 4)


class Waiter:
    """One held request: waits until its recording can be answered for."""

    whole_rows = False

    def __init__(self, row: CallLog, seconds: float) -> None:
        self.recordings = (row.pk,)
        self.until = timezone.now() + timedelta(seconds=seconds)
        self.told = threading.Event()

    def see(self, rows: Mapping[int, CallLog], since: float) -> bool:
        """Tell it when nothing more will happen by itself in its time."""
        row = rows.get(self.recordings[0])
        if row is None or is_settled(row, self.until):
            self.told.set()
        return self.told.is_set()

    def tick(self) -> None:
        """Only rows matter."""

    def blind(self) -> None:
        """It looks for itself, when its time is up."""


def wait(row: CallLog, seconds: float, where: Lookout = lookout) -> None:
    """Hold the calling thread until `row` can be answered for, at most `seconds`. It then has to be read again."""
    waiter = Waiter(row, seconds)
    if is_settled(row, waiter.until):
        return
    give_up_connection()
    try:
        where.add(waiter)
        waiter.told.wait(seconds)
    finally:
        where.remove(waiter)


def give_up_connection() -> None:
    """Close this thread's database connection before it is held: many may wait, and connections are few.

    Its turn goes too.
    """
    turns.give_up()
    if not connection.in_atomic_block:
        connection.close()


def is_settled(row: CallLog, until: datetime) -> bool:
    """Nothing more will happen by itself before `until`."""
    if row.recording_download_status == RecordingStatus.FAILED:
        return row.recording_next_retry_at is None or row.recording_next_retry_at > until
    return row.recording_download_status not in _UNDER_WAY
