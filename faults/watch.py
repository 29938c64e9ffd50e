"""Looks each second at the rows that are under way: none may stand still for long."""

import sqlite3
import threading
import time
from collections import Counter
from typing import Any

import psycopg

from demo.service import Service

STUCK = 60.0
"""Seconds: no downloading row without heartbeat, and no queued row beside a free slot, for longer."""

_UNDER_WAY = (
    "SELECT call_sid, recording_download_status, recording_token, recording_lease_until, recording_last_enqueue_at"
    " FROM call_log WHERE recording_download_status IN ('queued', 'downloading')"
)
_BY_STATUS = (
    "SELECT recording_download_status, COUNT(*) FROM call_log WHERE recording_url IS NOT NULL"
    " GROUP BY recording_download_status"
)


class Watch(threading.Thread):
    """A thread; `stuck` has what stood too long, `longest` the seconds that any row stood with nothing changed."""

    def __init__(self, service: Service) -> None:
        super().__init__(name="watch", daemon=True)
        self.stuck: list[str] = []
        self.longest = 0.0
        self.under_way = 0
        self.by_status: Counter[str] = Counter()
        self._service = service
        self._since: dict[tuple[Any, ...], float] = {}
        self._done = threading.Event()

    def run(self) -> None:
        """The thread's life."""
        while not self._done.wait(0.5):
            try:
                self._look()
            except (sqlite3.Error, psycopg.Error) as error:
                self.stuck.append(f"The database did not answer: {error!r}")

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self.join()

    def look_anew(self) -> None:
        """What stood until now is forgiven: nothing could go on, for nothing ran."""
        self._since = {}

    def _look(self) -> None:
        rows = self._service.sql(_UNDER_WAY)
        self.by_status = Counter(dict(self._service.sql(_BY_STATUS)))
        now, since = time.monotonic(), self._since
        self._since = {row: since.get(row, now) for row in rows}
        self.under_way = len(rows)
        for row, start in self._since.items():
            self.longest = max(self.longest, now - start)
            if now - start > STUCK:
                self.stuck.append(f"{row[0]} has been {row[1]} for {now - start:.0f} s with nothing changed: {row[2:]}")
                self._since[row] = now  # said once a minute
