"""A thread that ends closes its database connection.

The web server ends threads that have been idle. Django's connection object is part of a reference cycle, so what it
holds stays open until the garbage is collected, and a process that is idle collects none: on SQLite, two descriptors a
thread.
"""

import threading
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_here = threading.local()


class _Farewell:
    """Goes with its thread, and closes that thread's connection as it goes."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def __del__(self) -> None:
        raw, self._connection.connection = self._connection.connection, None
        if raw is not None:
            raw.close()


def _connected(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    if getattr(_here, "farewell", None) is None:
        _here.farewell = _Farewell(connection)


def close_with_threads() -> None:
    """From now on, in this process and those it forks."""
    connection_created.connect(_connected, dispatch_uid="farewell")
