"""The backend, under the name where Django looks for it (ENGINE).

A request that is held for long gives its connection up. To open one anew, with Django's functions and the pragmas, and
to close it costs as much processor time as all else that a play of an arriving recording needs.
"""

import os
import sqlite3
import sys
from collections import deque
from types import SimpleNamespace
from typing import Any

from django.db.backends.sqlite3 import base
from django.utils.asyncio import async_unsafe

KEPT = 8
"""Connections that a process keeps for threads to come."""

_kept: deque[tuple[str, Any]] = deque()
"""With the database's path. `append` and `pop` need no lock."""


class DatabaseWrapper(base.DatabaseWrapper):
    """A thread's connection; between two threads, one of those kept."""

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """One that is kept, else a new one."""
        while kept := _pop():
            database, raw = kept
            if database == str(conn_params["database"]):
                return raw
            raw.close()
        return super().get_new_connection(conn_params)

    def _close(self) -> None:
        """Keep it, unless it is in doubt: after an error, or in the middle of a transaction.

        A SELECT that is not read to its end is no transaction to `in_transaction`, and holds an old snapshot.
        """
        raw = self.connection
        in_doubt = self.errors_occurred or self.in_atomic_block or raw is None or raw.in_transaction
        if in_doubt or len(_kept) >= KEPT or _references(raw) > _WITHOUT_CURSORS:
            super()._close()  # type: ignore[misc]
        else:
            _kept.append((str(self.settings_dict["NAME"]), raw))


def _references(raw: Any) -> int:
    """How many there are: the wrapper's, its method's, ours, and one for each cursor that lives."""
    return sys.getrefcount(raw)


def _without_cursors() -> int:
    wrapper = SimpleNamespace(connection=sqlite3.connect(":memory:"))
    raw = wrapper.connection
    count = _references(raw)
    raw.close()
    return count


def _pop() -> tuple[str, Any] | None:
    try:
        return _kept.pop()
    except IndexError:
        return None


def close_kept() -> None:
    """Close them all: SQLite's connections must not be carried across a fork."""
    while kept := _pop():
        kept[1].close()


os.register_at_fork(before=close_kept)

_WITHOUT_CURSORS = _without_cursors()
