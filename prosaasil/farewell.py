"""A thread that ends leaves its database connection to the next request, which closes it.

The web server ends threads that have been idle. Django's connection object is part of a reference cycle, so what it
holds stays open until the garbage is collected, and a process that is idle collects none: on SQLite, two descriptors a
thread. The thread can't close it as it ends: that runs while the interpreter takes the thread apart, and SQLite, which
calls back into the interpreter when it closes, then brings the process down.
"""

import threading
from collections import deque
from typing import Any

from django.core.signals import request_started
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_here = threading.local()
_left: deque[Any] = deque()


class _Farewell:
    """Goes with its thread, and says so."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def __del__(self) -> None:
        raw, self._connection.connection = self._connection.connection, None
        if raw is not None:
            _left.append(raw)


def _connected(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    if getattr(_here, "farewell", None) is None:
        _here.farewell = _Farewell(connection)


def _close_what_was_left(**_kwargs: Any) -> None:
    while _left:
        try:
            _left.popleft().close()
        except IndexError:  # another request was quicker
            return


def close_with_threads() -> None:
    """From now on, in this process and those it forks."""
    connection_created.connect(_connected, dispatch_uid="farewell")
    request_started.connect(_close_what_was_left, dispatch_uid="farewell")
