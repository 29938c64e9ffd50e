"""How writers of SQLite wait for each other: with short sleeps.

SQLite has one writer at a time. Its own way to wait sleeps ever longer, up to 100 ms, so that of several who wait
whoever came last is served first, and under a burst somebody waits through everybody else's writes.
"""

import sqlite3
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

SHORTEST, LONGEST = 0.0005, 0.003
"""Seconds between two looks whether the lock is free."""

_BEGIN = "BEGIN IMMEDIATE"


def be_patient(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    """Receiver of `connection_created`."""
    if connection.vendor == "sqlite" and _begin not in connection.execute_wrappers:
        connection.execute_wrappers.append(_begin)


def _begin(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Begin a transaction as soon as may be; after the database's own patience, as it would."""
    if sql != _BEGIN:
        return execute(sql, params, many, context)
    raw: sqlite3.Connection = context["connection"].connection
    patience = settings.DATABASES["default"]["OPTIONS"]["timeout"]
    until, pause = monotonic() + patience, SHORTEST
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        while monotonic() < until:
            try:
                return raw.execute(_BEGIN)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # a full disk does not pass by waiting
                    break
                sleep(pause)
                pause = min(pause * 1.5, LONGEST)
        return execute(sql, params, many, context)
    finally:
        raw.execute(f"PRAGMA busy_timeout = {int(1000 * patience)}")
