"""Looks each second at the rows that are under way: none may stand still for long."""

import sqlite3
import threading
import time
from collections import Counter
from typing import Any

import psycopg

from demo.service import Service
from faults.kinds import IN_ALL
from prosaasil.supervisor import processes

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
    """A thread; `stuck` has what stood too long, `longest` the seconds that any row stood with nothing changed.

    Only the time counts in which all of the service's processes are there: without a cluster no slot is free, and that
    the cluster comes back is looked at by whoever killed it.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(name="watch", daemon=True)
        self.stuck: list[str] = []
        self.longest = 0.0
        self.under_way = 0
        self.by_status: Counter[str] = Counter()
        self._service = service
        self._stood: dict[tuple[Any, ...], float] = {}
        self._looked = time.monotonic()
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

    def _look(self) -> None:
        rows = self._service.sql(_UNDER_WAY)
        self.by_status = Counter(dict(self._service.sql(_BY_STATUS)))
        self.under_way = len(rows)
        now = time.monotonic()
        passed = now - self._looked if len(processes.descendants(self._service.pid)) == IN_ALL else 0.0
        self._looked = now
        stood = self._stood
        self._stood = {row: stood[row] + passed if row in stood else 0.0 for row in rows}
        for row, seconds in self._stood.items():
            self.longest = max(self.longest, seconds)
            if seconds > STUCK:
                self.stuck.append(f"{row[0]} has been {row[1]} for {seconds:.0f} s with nothing changed: {row[2:]}")
                self._stood[row] = 0.0  # said once a minute
