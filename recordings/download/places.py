"""Places for drains on this machine: a few may work at once, and one at a time may close. Each is a file's lock.

A lock ends with its process, however that ends, so a crash frees the place at once.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings


class Lock:
    """A file's flock, held from `take` until `free`. The kernel frees it when the process ends."""

    def __init__(self, name: str) -> None:
        self._path = Path(settings.RUN_DIR) / f"{name}.lock"
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Take it, unless somebody else holds it. True when it is ours, also when it was before."""
        if self._descriptor is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def free(self) -> None:
        """Let go of it. Harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.free()


def free_place() -> tuple[int, Lock] | None:
    """Take a free place and its number; None when all are taken."""
    for number in range(settings.DRAINS):
        lock = Lock(f"drain-{number}")
        if lock.take():
            return number, lock
    return None


def closing() -> Lock:
    """The right to stop claiming while finishing what one has. One drain at a time, so that another always claims."""
    return Lock("drain-closing")
