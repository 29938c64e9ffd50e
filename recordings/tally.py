"""A tally: numbers that only grow, added up over all processes that keep theirs in one folder. Knows no meanings.

Each process adds to an array of its own and writes it to a file of its own, so that nobody waits for another and
`kill -9` loses nothing. The file of a dead process is taken over by the next one that counts, with all that stands in
it: there are never more files than there were processes at once. A plain write, not a mapped file: on a full disk it
fails, where a mapping would kill (docs/adr/0012).
"""

import fcntl
import hashlib
import itertools
import os
import threading
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

LOOK_EVERY = 10.0
"""Seconds between two looks whether the file is still there, or can be made by now."""


class Tally:
    """What one process has counted: in memory, and in its file once there is one."""

    def __init__(self) -> None:
        self._names: list[object] = []
        self._folder: Path | None = None
        self._file: int | None = None
        self._forget()

    def place(self, *name: object) -> int:
        """A place for what goes by this name. All are made before the first count."""
        self._names.append(name)
        self._values.append(0.0)
        return len(self._names) - 1

    def add(self, amounts: Mapping[int, float]) -> None:
        """Add these to their places. What can't be written is kept in memory, and written with what comes later.

        Takes microseconds, and never raises.
        """
        with self._lock:
            for place, amount in amounts.items():
                self._values[place] += amount
            if self._folder is None:
                return
            with suppress(OSError):
                self._look(self._folder)
                if self._file is not None:
                    os.pwrite(self._file, self._values, 0)

    def begin(self, folder: Path, *, anew: bool = False) -> None:
        """From the next count on, keep the numbers of this process and of its forks in `folder`.

        Files that another version left there are removed; with `anew` all are, for who starts everything.
        """
        for path in _files(folder, ""):
            with suppress(OSError):
                if anew or (not path.name.startswith(self._prefix) and _is_let_go(path)):
                    path.unlink(missing_ok=True)
        self._folder, self._look_at = folder, 0.0

    def total(self, folder: Path) -> list[float]:
        """What all processes together have counted, by place. A folder that can't be read counts as empty."""
        sums = self._numbers(b"")
        for path in _files(folder, self._prefix):
            with suppress(OSError):
                sums = array("d", map(float.__add__, sums, self._numbers(path.read_bytes())))
        return list(sums)

    def close(self) -> None:
        """Let go of the file, as dying does."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file, self._folder = None, None

    def after_fork(self) -> None:
        """In the child: begin at nothing. What the parent counted is the parent's, and so is its file."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)  # the lock stays: it goes with the parent's descriptor
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()  # the parent's may be held by a thread that is not here
        self._values = array("d", bytes(8 * len(self._names)))
        self._file = None
        self._look_at = 0.0

    @property
    def _prefix(self) -> str:
        """Names what stands where: another version's files are not read."""
        return hashlib.sha256(repr(self._names).encode()).hexdigest()[:8] + "-"

    def _look(self, folder: Path) -> None:
        """Now and then: have a file. One that was removed is replaced, with all that stood in it."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_EVERY
        if self._file is not None and os.fstat(self._file).st_nlink:
            return
        new, found = self._take(folder)
        if self._file is not None:
            os.close(self._file)
        self._file = new
        for place, number in enumerate(found):
            self._values[place] += number

    def _take(self, folder: Path) -> "tuple[int, array[float]]":
        """The first file that nobody alive holds, locked, and what a dead process left in it. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in itertools.count():
            file = os.open(folder / f"{self._prefix}{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_nlink:  # else it was removed before it was locked
                    return file, self._numbers(os.pread(file, 8 * len(self._names), 0))
            except BlockingIOError:
                pass
            except OSError:
                os.close(file)
                raise
            os.close(file)
        raise AssertionError("unreachable")

    def _numbers(self, content: bytes) -> "array[float]":
        """What a file says; one that is shorter has just been made, or a full disk took a part of it."""
        size = 8 * len(self._names)
        whole = content[: min(size, len(content) - len(content) % 8)]
        return array("d", whole + bytes(size - len(whole)))


def _is_let_go(path: Path) -> bool:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def _files(folder: Path, prefix: str) -> Iterator[Path]:
    with suppress(OSError):
        yield from (folder / name for name in sorted(os.listdir(folder)) if name.startswith(prefix))
