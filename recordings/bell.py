"""The bell: a queued django-q2 task that says "there is work", and the wake-up that makes it heard at once.

The queue only rings; the rows decide (docs/adr/0002). A bell may ring twice or never: a drain that finds nothing
returns, and the sweep rings again for what waits in silence. The wake-up is a datagram without content; losing one
costs a second.
"""

import hashlib
import os
import select
import socket
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

DRAIN = "recordings.tasks.drain"
_SOCKET_PATH_LIMIT = 107  # bytes; unix(7), sun_path less its closing zero


def ring() -> None:
    """Queue one drain, with the caller's transaction, and wake the cluster when that has been committed."""
    async_task(DRAIN)
    transaction.on_commit(wake)


def is_rung() -> bool:
    """Whether a bell waits to be heard. One that a dead worker took stays locked for long and does not count.

    Nor do the schedules' tasks: a clean-up that waits behind the sweep would silence every sweep.
    """
    return any(_is_bell(queued) for queued in untaken().iterator(chunk_size=100))


def rung() -> list[int]:
    """The ids of the bells that wait to be heard."""
    return [queued.pk for queued in untaken() if _is_bell(queued)]


def untaken() -> QuerySet[OrmQ]:
    """The tasks that no cluster has taken."""
    tasks: QuerySet[OrmQ] = OrmQ.objects.filter(lock__lte=timezone.now())
    return tasks


def _is_bell(queued: OrmQ) -> bool:
    return bool(queued.task.get("func") == DRAIN)


def prune(older_than: timedelta = timedelta(days=1)) -> int:
    """Delete django-q2's records of tasks that ended long ago; it prunes successes only. How many."""
    return int(Task.objects.filter(stopped__lt=timezone.now() - older_than).delete()[0])


def sign_of_life() -> Path:
    """The file that the queue's pusher writes at least each second while it lives: which storage it sees."""
    return Path(settings.RUN_DIR) / "cluster.alive"


def age_of_sign() -> float:
    """Seconds by the wall clock since the last sign of life; 0 when there was none, or it is of a time to come."""
    try:
        return max(0.0, time.time() - sign_of_life().stat().st_mtime)
    except OSError:
        return 0.0


def silent_for() -> float:
    """Seconds for which this process, asking again and again, has seen no sign of life of the queue's pusher.

    0 when it never gave one. Counted from when the file's time was seen to change, by the monotonic clock: a wall
    clock that jumps would else have a healthy cluster killed.
    """
    global _seen  # noqa: PLW0603 - one pusher, one supervisor
    try:
        sign = sign_of_life().stat().st_mtime_ns
    except OSError:
        return 0.0
    if sign != _seen[0]:
        _seen = (sign, time.monotonic())
    return time.monotonic() - _seen[1]


_seen = (0, 0.0)


def listeners() -> list[str]:
    """The names that may listen on this machine: the cluster's pusher, and each drain."""
    return ["cluster", *_drains()]


def _drains() -> list[str]:
    return [f"drain-{place}" for place in range(settings.DRAINS)]


def socket_path(name: str) -> str:
    """Where the listener `name` is reached: in the run folder, or under a hashed name where that path is too long."""
    path = str(Path(settings.RUN_DIR) / f"wake-{name}.sock")
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        return path
    return str(Path(tempfile.gettempdir()) / f"prosaasil-{hashlib.sha256(path.encode()).hexdigest()[:24]}.sock")


def wake() -> None:
    """Wake whoever listens on this machine. Nobody there, or one too busy to be told again, is fine. Never raises."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        for name in listeners():
            try:
                sender.sendto(b"!", socket_path(name))
            except OSError:
                continue


def a_drain_listens() -> bool:
    """Whether one is at work on this machine, and hears wake-ups; it has heard those that were sent before."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        for name in _drains():
            with suppress(OSError):
                caller.connect(socket_path(name))  # refused where a dead one has left its socket behind
                return True
    return False


class Listener:
    """Hears the wake-ups sent to a `socket_path`. Bind it in the process that waits, never before a fork."""

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).unlink(missing_ok=True)  # a dead process's
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(path)
        os.chmod(path, 0o600)

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._socket.fileno()

    def clear(self) -> bool:
        """Forget the wake-ups heard so far, and tell whether there were any. Call it before looking at the rows."""
        heard = False
        try:
            while self._socket.recv(16):
                heard = True
        except BlockingIOError:
            return heard
        return heard

    def wait(self, seconds: float) -> bool:
        """Sleep until a wake-up or for `seconds`; True when woken."""
        try:
            return bool(select.select([self._socket], [], [], max(0.0, seconds))[0])
        except OSError:  # the socket is gone: do not spin
            time.sleep(min(1.0, max(0.0, seconds)))
            return False

    def hide(self) -> None:
        """Be woken no more, and count no more as one who listens; harmless when repeated."""
        with suppress(OSError):
            Path(self._socket.getsockname()).unlink(missing_ok=True)

    def close(self) -> None:
        """Stop listening. The path stays for its next owner, which replaces it."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
