"""Push: what happens to recordings, as server-sent events (WHATWG HTML §9.2), for a page that shows them."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Self

from django.utils import translation

from calls.models import CallLog, RecordingStatus
from recordings.playback.lookout import STANDING, Lookout, lookout
from recordings.status import payload

HEARTBEAT = 15.0
PROGRESS_EVERY = 0.5
LONGEST = 300.0
"""Seconds that a connection lasts. The browser comes back, and whether it may is asked anew."""

RETRY = 1000
"""Milliseconds after which the browser comes back."""

_TOLD_BY_THE_CLOCK = ("retry_after",)


_mark = attrgetter("updated_at", *STANDING)
"""What differs after any change of a row that the page shows."""


class Events:
    """The body of one connection. Its `close`, which Django calls when it ends, lets go of everything."""

    whole_rows = True

    def __init__(
        self, rows: Mapping[str, CallLog], not_found: list[str], let_go: Callable[[], None], where: Lookout = lookout
    ) -> None:
        """`rows` by call SID."""
        self.recordings = [row.pk for row in rows.values()]
        self._rows = {row.pk: row for row in rows.values()}
        self._not_found = not_found
        self._let_go, self._where = let_go, where
        self._language = translation.get_language()
        self._changed = threading.Event()
        self._told: dict[str, dict[str, Any]] = {}
        self._ends = time.monotonic() + LONGEST
        self._begun = self._closed = False

    # --- for the lookout

    def see(self, rows: Mapping[int, CallLog], since: float) -> bool:
        """Take in the rows; what is gone stays as it was. A page is in no hurry.

        Other people's news wake nobody: to make the payloads anew takes a hundred rows 2 ms.
        """
        before, self._rows = self._rows, {pk: rows.get(pk, row) for pk, row in self._rows.items()}
        if any(_mark(row) != _mark(before[pk]) for pk, row in self._rows.items()):
            self._changed.set()
        return False

    def tick(self) -> None:
        """Only rows matter; progress is looked at by the connection's own thread."""

    def blind(self) -> None:
        """End: the browser comes back."""
        self._ends = 0.0
        self._changed.set()

    # --- for the connection

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if not self._begun:
            self._begun = True
            self._where.add(self)
            return self._snapshot()
        beat = time.monotonic() + HEARTBEAT
        while not self._closed and time.monotonic() < self._ends:
            if changes := self._news():
                return b"".join(_event("status", change) for change in changes)
            left = beat - time.monotonic()
            if left <= 0:
                return b": still here\n\n"
            self._changed.wait(min(left, PROGRESS_EVERY) if self._is_arriving() else left)
            self._changed.clear()
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Harmless when repeated."""
        if not self._closed:
            self._closed = True
            self._where.remove(self)
            self._let_go()

    def _snapshot(self) -> bytes:
        self._news()
        retry = b"retry: %d\n\n" % RETRY
        return retry + _event("snapshot", {"results": self._told, "not_found": self._not_found})

    def _news(self) -> list[dict[str, Any]]:
        """The payloads that say something new."""
        with translation.override(self._language):
            payloads = [payload(row) for row in self._rows.values()]
        told = self._told
        changes = [one for one in payloads if _without_clock(one) != _without_clock(told.get(one["call_sid"], {}))]
        self._told |= {one["call_sid"]: one for one in changes}
        return changes

    def _is_arriving(self) -> bool:
        return any(row.recording_download_status == RecordingStatus.DOWNLOADING for row in self._rows.values())


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _without_clock(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in _TOLD_BY_THE_CLOCK}
