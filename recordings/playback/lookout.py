"""The lookout: one thread a web process looks at rows for all requests that it holds, and ends when it holds none.

It reads when there is news (recordings/news.py), when somebody asks it to, and each second in case that news got lost.
"""

import logging
import os
import select
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from django.db import Error, close_old_connections, connection

from calls.models import CallLog
from recordings import news
from recordings.playback import doorbell
from recordings.playback.doorbell import Doorbell

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two readings without news."""

LOOK_AGAIN, LOOK_LATEST = 0.01, 0.03
"""Seconds between two readings, however much news there is: the shorter after one that brought somebody something."""


STANDING = (
    "recording_download_status", "recording_next_retry_at", "recording_token", "recording_file", "recording_version",
    "recording_bytes_total", "recording_content_type",
)  # fmt: skip
"""What is read of a row for those who only wait for its audio: to read all of it takes twice as long."""


class Watch(Protocol):
    """What somebody waits for. All of it is called in the lookout's thread, and none of it may block."""

    @property
    def whole_rows(self) -> bool:
        """Whether it looks at more of a row than STANDING."""
        ...

    @property
    def recordings(self) -> Iterable[int]:
        """The ids of the rows to read."""
        ...

    def see(self, rows: Mapping[int, CallLog], since: float) -> bool:
        """Take in what was read after the moment `since` (monotonic); a row that is missing does not exist.

        Whether it brought what is waited for. More of it may be on its way then, and the next reading comes sooner.
        """
        ...

    def tick(self) -> float | None:
        """Look at what is no row; seconds until the next tick is wanted."""
        ...

    def blind(self) -> None:
        """Nobody looks any more, because of a fault of ours."""
        ...


class Lookout:
    """Looks on behalf of all watches of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None
        self._nudge = -1
        self._wanted = False
        self._read_at = self._due = 0.0
        self._pause = LOOK_LATEST

    def add(self, watch: Watch, *, read: bool = True) -> None:
        """Look at what `watch` waits for, from now on; at once, unless the caller will `look` when there is more."""
        with self._lock:
            if self._thread is None:
                self._start()
            self._watches.add(watch)
            self._wanted |= read
            os.eventfd_write(self._nudge, 1)

    def _start(self) -> None:
        """Raises OSError, RuntimeError where there is no descriptor or thread: the next one who waits tries again."""
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="recordings-lookout", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._resign()
            raise

    def remove(self, watch: Watch) -> None:
        """Look at it no longer. Harmless when repeated."""
        with self._lock:
            self._watches.discard(watch)
            if not self._watches and self._thread is not None:
                os.eventfd_write(self._nudge, 1)  # to end

    def look(self) -> None:
        """Read the rows soon: the caller has just changed one, or wants to know."""
        with self._lock:
            if self._thread is not None:
                self._wanted = True
                os.eventfd_write(self._nudge, 1)

    def _run(self) -> None:
        ear, door, rings_at = None, Doorbell(), time.monotonic() + doorbell.EVERY
        try:
            ear = _listen()
            self._read_at, self._due = 0.0, time.monotonic() + LOOK_EVERY
            while watches := self._present():
                if time.monotonic() >= rings_at:
                    rings_at = time.monotonic() + doorbell.EVERY
                    door.ring()
                if time.monotonic() >= self._due:
                    ear = ear or _listen()
                    if not self._read(watches, ear) and ear:
                        ear.close()
                        ear = None
                self._sleep(ear, min(_ticks(watches), max(0.0, rings_at - time.monotonic())))
        finally:
            try:
                self._leave()  # first of all: nobody may wait for a lookout that does not look
            finally:
                if ear:
                    ear.close()
                door.leave()
                connection.close()

    def _present(self) -> list[Watch]:
        """What to look at. When that is nothing, the thread gives up its office in the same instant."""
        with self._lock:
            if not self._watches:
                self._resign()
            return list(self._watches)

    def _leave(self) -> None:
        """The end: in order when nobody waits any more, and by a fault of ours while somebody does."""
        with self._lock:
            if self._thread is not threading.current_thread():
                return
            watches, self._watches = self._watches, set()
            self._resign()
        for watch in watches:
            watch.blind()

    def _resign(self) -> None:
        self._thread = None
        os.close(self._nudge)
        self._nudge = -1

    def _read(self, watches: list[Watch], ear: news.Ear | None) -> bool:
        """Show them their rows; whether the database answered."""
        since = self._read_at = time.monotonic()
        self._due = since + LOOK_EVERY
        if ear:
            ear.clear()
        try:
            rows = _rows(watches)
        except Error:  # they are told when their time is up, if it does not come back
            log.warning("Waiting recordings could not be read", exc_info=True, extra={"action": "wait"})
            close_old_connections()
            return False
        seen = [watch.see(rows, since) for watch in watches]
        self._pause = LOOK_AGAIN if any(seen) else LOOK_LATEST
        if ear and ear.missed():
            self._due = since + self._pause
        return True

    def _sleep(self, ear: news.Ear | None, until_tick: float) -> None:
        """Until news, a nudge, the next tick or the next reading. News that comes too soon waits a little."""
        nudge, poll = self._nudge, select.poll()  # not select(): a busy process has more than 1024 descriptors
        left = max(0.0, self._due - time.monotonic())
        try:
            poll.register(nudge, select.POLLIN)
            if ear is not None:
                poll.register(ear, select.POLLIN)
            heard = poll.poll(1000 * min(left, until_tick))
        except (OSError, ValueError):  # the ear's connection is gone
            heard = []
            time.sleep(min(LOOK_LATEST, left))
        with suppress(BlockingIOError):
            os.eventfd_read(nudge)
        if self._take_wish() or any(descriptor != nudge for descriptor, _ in heard):
            self._due = min(self._due, max(self._read_at + self._pause, time.monotonic()))
            if (early := min(self._due - time.monotonic(), until_tick)) > 0:
                time.sleep(early)

    def _take_wish(self) -> bool:
        """Whether somebody has asked for a reading; it will be on its way."""
        with self._lock:
            wanted, self._wanted = self._wanted, False
        return wanted


def _rows(watches: list[Watch]) -> dict[int, CallLog]:
    wanted = CallLog.objects.all() if any(watch.whole_rows for watch in watches) else CallLog.objects.only(*STANDING)
    return wanted.in_bulk({pk for watch in watches for pk in watch.recordings})


def _listen() -> news.Ear | None:
    try:
        return news.listen()
    except (OSError, Error):
        log.warning("No news is heard; looking each second", exc_info=True, extra={"action": "wait"})
        return None


def _ticks(watches: list[Watch]) -> float:
    """Tick them all; seconds until the first wants it again."""
    wanted = [seconds for watch in watches if (seconds := watch.tick()) is not None]
    return min(wanted, default=LOOK_EVERY)


lookout = Lookout()
"""The one of this process."""
