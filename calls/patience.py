"""How writers of SQLite wait for each other: with short sleeps.

SQLite has one writer at a time. Its own way to wait sleeps ever longer, up to 100 ms, so that of several who wait
whoever came last is served first, and under a burst somebody waits through everybody else's writes.
"""

import sqlite3
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

SHORTEST, LONGEST = 0.0005, 0.003
"""Seconds between two looks whether the lock is free."""

_PASSES_BY_WAITING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY}  # not SQLITE_BUSY_SNAPSHOT
_BEGIN = "BEGIN IMMEDIATE"
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def be_patient(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    """Receiver of `connection_created`."""
    if connection.vendor == "sqlite" and _wait_shortly not in connection.execute_wrappers:
        connection.execute_wrappers.append(_wait_shortly)


def _takes_the_lock(sql: str, many: bool, connection: BaseDatabaseWrapper) -> bool:
    """Whether it is the first of its transaction to write, and can be begun anew as long as it has not.

    Told by how it begins, as the ORM's do; whatever begins otherwise waits as SQLite does.
    """
    return sql == _BEGIN or (not many and not connection.in_atomic_block and sql.startswith(_WRITES))


def _wait_shortly(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Take the lock as soon as may be; after the database's own patience, as it would."""
    if not _takes_the_lock(sql, many, context["connection"]):
        return execute(sql, params, many, context)
    connection = context["connection"]
    raw: sqlite3.Connection = connection.connection
    patience = settings.DATABASES["default"]["OPTIONS"]["timeout"]
    until, pause, in_doubt = monotonic() + patience, SHORTEST, connection.errors_occurred
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        while monotonic() < until:
            try:
                return execute(sql, params, many, context)
            except OperationalError as error:
                if not _is_busy(error):  # a full disk does not pass by waiting
                    raise
                connection.errors_occurred = in_doubt  # to be busy is no fault of the connection
                sleep(pause)
                pause = min(pause * 1.5, LONGEST)
        return execute(sql, params, many, context)
    finally:
        raw.execute(f"PRAGMA busy_timeout = {int(1000 * patience)}")


def _is_busy(error: OperationalError) -> bool:
    cause = error.__cause__
    return isinstance(cause, sqlite3.OperationalError) and cause.sqlite_errorcode in _PASSES_BY_WAITING
