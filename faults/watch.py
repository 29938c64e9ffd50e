"""Looks each second at the rows that are under way: none may stand still for long."""

import sqlite3
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg

from calls.models import PRIORITY_CLICK
from demo.service import Service
from faults.kinds import IN_ALL
from prosaasil.supervisor import processes
from recordings.models import ProviderAccount

STUCK = 60.0
"""Seconds: no downloading row without heartbeat, and no queued row beside a free slot, for longer."""

_UNDER_WAY = (
    "SELECT call_sid, recording_download_status, recording_token, recording_lease_until, recording_last_enqueue_at,"
    " recording_priority FROM call_log WHERE recording_download_status IN ('queued', 'downloading')"
)
_TIMES = ("moment", "paused_until", "slowed_at", "rests_until")
_NUMBERS = ("most_at_once", "slowed_to", "rests")
_MOMENT = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "statement_timestamp()"}
_BY_STATUS = (
    "SELECT recording_download_status, COUNT(*) FROM call_log WHERE recording_url IS NOT NULL"
    " GROUP BY recording_download_status"
)


class Row(NamedTuple):
    """One that is under way. Equal to what it was: it stands still."""

    call_sid: str
    status: str
    token: str | None
    lease_until: object
    last_enqueue_at: object
    priority: int

    @property
    def click(self) -> bool:
        """Whether somebody waits for it."""
        return self.priority >= PRIORITY_CLICK


class Watch(threading.Thread):
    """A thread; `stuck` has what stood too long, `longest` the seconds that any row stood with nothing changed.

    Only the time counts in which a slot is free for it. Without all of the service's processes none is, and that they
    come back is looked at by whoever killed one; and none is free while its account has as many as it may.
    """

    def __init__(self, service: Service) -> None:
        super().__init__(name="watch", daemon=True)
        self.stuck: list[str] = []
        self.longest = 0.0
        self.under_way = 0
        self.by_status: Counter[str] = Counter()
        self._service = service
        self._stood: dict[Row, float] = {}
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
        rows = [Row(*row) for row in self._service.sql(_UNDER_WAY)]
        account = read_account(self._service)
        self.by_status = Counter(dict(self._service.sql(_BY_STATUS)))
        self.under_way = len(rows)
        now = time.monotonic()
        passed = now - self._looked if len(processes.descendants(self._service.pid)) == IN_ALL else 0.0
        self._looked = now
        running = Counter(row.click for row in rows if row.status == "downloading")
        stood = self._stood
        self._stood = {
            row: stood[row] + passed * (row.status != "queued" or has_room(account, running, click=row.click))
            if row in stood
            else 0.0
            for row in rows
        }
        for row, seconds in self._stood.items():
            self.longest = max(self.longest, seconds)
            if seconds > STUCK:
                self.stuck.append(
                    f"{row.call_sid} has been {row.status} for {seconds:.0f} s with nothing changed: {row[2:]},"
                    f" beside {dict(running)} of {account.at_once()}"
                )
                self._stood[row] = 0.0  # said once a minute


def read_account(service: Service) -> ProviderAccount:
    """The service's one account, as far as it says how many may be under way; at the database's time."""
    columns = (*_TIMES, *_NUMBERS)
    moment = _MOMENT[service.vendor]
    [values] = service.sql(f"SELECT {moment}, {', '.join(columns[1:])} FROM recordings_provideraccount LIMIT 1")
    read = dict(zip(columns, values, strict=True))
    account = ProviderAccount(**{name: read[name] for name in _NUMBERS})
    for name in _TIMES:
        setattr(account, name, _time(read[name]))
    return account


def has_room(account: ProviderAccount, running: Counter[bool], *, click: bool) -> bool:
    """Whether one more may be under way, beside these: how many of them are clicks, and how many are not."""
    at_once, under_way = account.at_once(), running.total()
    if account.is_paused() or (not click and account.is_resting()):
        return False
    if not click:
        return under_way < at_once and running[False] < at_once - at_once // 4
    return under_way < at_once or (running[True] < max(1, at_once // 4) and under_way < account.cap)


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value
