"""Bytes a second: of one account and of all, right across the threads and processes of this machine.

Each limit is a file with one number, until when (monotonic) what was taken is paid for: the virtual scheduling of
ITU-T I.371 (GCRA). Who takes moves it on, and waits until it is paid for.
"""

import fcntl
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import monotonic

from django.conf import settings

BURST = 0.5
"""Seconds' worth that may be taken at once after a silence."""

_NUMBER = struct.Struct("d")


@dataclass(frozen=True)
class Limit:
    """Bytes a second, kept in files of the run folder under a name."""

    name: str
    per_second: int

    def take(self, count: int, *, click: bool) -> float:
        """Take so many bytes; how many seconds to wait for them.

        A click waits for clicks alone, and the background for both: so a click goes first, and the limit holds.
        """
        wait = self._moved(self.name, count)
        return self._moved(f"{self.name}-clicks", count) if click else wait

    def _moved(self, name: str, count: int) -> float:
        """A machine that cannot keep the number does not limit: a full disk must not end downloads by itself."""
        with suppress(OSError):
            # A limit that is changed begins anew: what is owed by the old one may be minutes of the new.
            path = Path(settings.RUN_DIR) / f"bandwidth-{name}-{self.per_second}-{_boot()}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # its own: a flock is for each
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                now, kept = monotonic(), os.pread(descriptor, _NUMBER.size, 0)
                paid = _NUMBER.unpack(kept)[0] if len(kept) == _NUMBER.size else 0.0
                paid = max(paid, now - BURST) + count / self.per_second
                os.pwrite(descriptor, _NUMBER.pack(paid), 0)
                return max(0.0, paid - now)
            finally:
                os.close(descriptor)
        return 0.0


@dataclass(frozen=True)
class Bandwidth:
    """The limits that one download is under."""

    limits: tuple[Limit, ...]
    click: bool

    def take(self, count: int) -> float:
        """Take so many bytes of each; how many seconds to wait."""
        return max((limit.take(count, click=self.click) for limit in self.limits), default=0.0)


def bandwidth(account_id: int, per_second: int | None, *, click: bool) -> Bandwidth:
    """The account's own limit, where it has one, and the one of all."""
    limits = [Limit(f"account-{account_id}", per_second)] if per_second else []
    if settings.RECORDINGS_BYTES_PER_SECOND:
        limits.append(Limit("all", settings.RECORDINGS_BYTES_PER_SECOND))
    return Bandwidth(tuple(limits), click)


@lru_cache(maxsize=1)
def _boot() -> str:
    """Names this run of the machine, with which monotonic time begins anew."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return "boot"
