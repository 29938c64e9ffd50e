"""News: "a recording's row has changed", for whoever holds requests in a web process. Losing one costs a second.

On SQLite, which is one machine, a datagram to each web process that listens; on PostgreSQL its NOTIFY, which reaches
every machine. News has no content: who hears it reads the rows again. While nobody waits, nobody listens.
"""

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db import connection, transaction

from recordings.bell import Listener

log = logging.getLogger(__name__)

CHANNEL = "recordings"
_PREFIX = "news-"


class Ear(Protocol):
    """Something to select on, and to clear before the rows are read."""

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        ...

    def clear(self) -> object:
        """Forget what was heard."""
        ...

    def missed(self) -> bool:
        """Whether something has been heard since then that `fileno` will not tell."""
        ...

    def close(self) -> None:
        """Hear no more."""
        ...


def tell() -> None:
    """Say that rows have changed, when this transaction has been committed."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")  # delivered at the commit, and once a transaction
    else:
        transaction.on_commit(_send)


def listen() -> Ear:
    """Begin to hear, in the thread that will read. Raises OSError, django.db.Error."""
    return _Notifications() if connection.vendor == "postgresql" else _Datagrams()


class _Datagrams(Listener):
    """A socket of this process, in the run folder."""

    def __init__(self) -> None:
        # Never used twice: who closes late, or finds nobody there, must not remove another's.
        self._name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        with _folder() as folder:
            super().__init__(f"{folder}/{self._name}")

    def missed(self) -> bool:
        return False

    def close(self) -> None:
        super().close()
        with suppress(OSError):
            (Path(settings.RUN_DIR) / self._name).unlink(missing_ok=True)


class _Notifications:
    """LISTEN, on this thread's own connection: the query that reads the rows also takes the notifications in.

    One that comes while the query runs may tell of what the query did not see.
    """

    def __init__(self) -> None:
        connection.ensure_connection()
        self._connection = connection.connection
        self._missed = False
        self._connection.add_notify_handler(self._hear)  # a handler, so that the driver keeps no backlog of them
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")

    def fileno(self) -> int:
        if self._connection.closed:
            raise OSError("The connection is gone.")
        return int(self._connection.fileno())

    def clear(self) -> None:
        with suppress(Exception):  # a lost connection: the query will say so
            self._connection.pgconn.consume_input()
            while self._connection.pgconn.notifies():
                pass
        self._missed = False

    def missed(self) -> bool:
        return self._missed

    def close(self) -> None:
        with suppress(Exception):  # it may have been lost; a pool would hand it on, listening
            self._connection.execute(f"UNLISTEN {CHANNEL}")
            self._connection.remove_notify_handler(self._hear)

    def _hear(self, _notification: object) -> None:
        self._missed = True


def _send() -> None:
    """Never raises: the change has been committed, and who made it has more to do."""
    try:
        if ears := _ears():
            _send_to(ears)
    except OSError as error:
        log.debug("News got lost", extra={"action": "news", "error": error.strerror})


def _send_to(ears: list[str]) -> None:
    with _folder() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        for name in ears:
            try:
                sender.sendto(b"!", f"{folder}/{name}")
            except ConnectionRefusedError:  # a dead process left it behind
                (Path(settings.RUN_DIR) / name).unlink(missing_ok=True)
            except OSError:
                continue


def _ears() -> list[str]:
    with suppress(OSError):
        return [name for name in os.listdir(settings.RUN_DIR) if name.startswith(_PREFIX)]
    return []


@contextmanager
def _folder() -> Iterator[str]:
    """The run folder under a short name: a socket's path may have 107 bytes (unix(7))."""
    Path(settings.RUN_DIR).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.RUN_DIR, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
