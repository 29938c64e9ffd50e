"""A thread that ends leaves its database connection to another thread, which closes it.

The web server ends threads that have been idle. Django's connection object is part of a reference cycle, so what it
holds stays open until the garbage is collected, and a process that is idle collects none: on SQLite, two descriptors a
thread. The thread can't close it as it ends: that runs while the interpreter takes the thread apart, and SQLite, which
calls back into the interpreter when it closes, then brings the process down.
"""

import contextlib
import os
import threading
from queue import SimpleQueue
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from prosaasil.pooled_sqlite3.base import close_kept

_here = threading.local()
_left: SimpleQueue[Any] = SimpleQueue()  # its `put` may be called from a __del__
_closers: set[int] = set()  # the processes that have one: a fork has no threads


class _Farewell:
    """Goes with its thread, and says so."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def __del__(self) -> None:
        raw, self._connection.connection = self._connection.connection, None
        _left.put(raw)


def _connected(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    if getattr(_here, "farewell", None) is not None:
        return
    _here.farewell = _Farewell(connection)
    if os.getpid() not in _closers:
        threading.Thread(target=_close_what_is_left, name="farewell", daemon=True).start()
        _closers.add(os.getpid())


def _close_what_is_left() -> None:
    while True:
        raw = _left.get()
        with contextlib.suppress(Exception):  # it may have been lost long ago
            if raw is not None:
                raw.close()
        close_kept()  # threads end where it has become quiet


def close_with_threads() -> None:
    """From now on, in this process and those it forks."""
    connection_created.connect(_connected, dispatch_uid="farewell")
