"""Small real disks (tmpfs) that can be filled, made read-only, taken away and brought back, under a running service."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from demo.service import wait_until

MEGABYTE = 1 << 20
_FILLER = "filler"
_PAGE = 4096


class Disk:
    """A tmpfs of `size` bytes, seen at `folder` while it is plugged in. Made by `disk`."""

    def __init__(self, folder: Path, hidden: Path) -> None:
        self.folder, self._hidden = folder, hidden

    def fill(self, leave: int = 0) -> None:
        """Use up all but about `leave` bytes of it."""
        with (self._hidden / _FILLER).open("ab", buffering=0) as file:
            more = self.free() - leave
            while more >= _PAGE:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, more)
                except OSError:  # it was less than it said
                    more //= 2
                else:
                    more = self.free() - leave

    def make_room(self) -> None:
        """Undo `fill`."""
        (self._hidden / _FILLER).unlink(missing_ok=True)

    def free(self) -> int:
        """Bytes that are free."""
        disk = os.statvfs(self._hidden)
        return disk.f_bavail * disk.f_frsize

    def read_only(self, yes: bool = True) -> None:
        """Have nothing written through `folder`, once nothing is open for it; or again."""
        mode = "ro" if yes else "rw"
        wait_until(lambda: _run("mount", "-o", f"remount,bind,{mode}", str(self.folder)), 20, f"mounted {mode}")

    def take_away(self) -> None:
        """Unmount it, whoever has it open; the empty folder stays."""
        assert _run("umount", "-l", str(self.folder))

    def bring_back(self) -> None:
        """Mount it again, with all that was on it."""
        assert _run("mount", "--bind", str(self._hidden), str(self.folder))


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Disk]:
    """A disk at `folder`, which is made; gone afterwards. Raises AssertionError where nothing may be mounted."""
    folder.mkdir(parents=True)
    hidden = folder.with_name(f".{folder.name}-disk")
    hidden.mkdir()
    assert _run("mount", "-t", "tmpfs", "-o", f"size={size}", "prosaasil-faults", str(hidden)), "nothing can be mounted"
    try:
        assert _run("mount", "--bind", str(hidden), str(folder))
        yield Disk(folder, hidden)
    finally:
        while _run("umount", "-l", str(folder)):
            pass
        _run("umount", "-l", str(hidden))


@lru_cache(maxsize=1)
def why_not() -> str:
    """Why no disk can be mounted here, and what to do; empty when one can."""
    with tempfile.TemporaryDirectory(prefix="prosaasil-mount-") as name:
        try:
            with disk(Path(name) / "try", MEGABYTE):
                return ""
        except (AssertionError, FileNotFoundError):
            return "mounting a small disk needs root: run as root, or `unshare -rm .venv/bin/python -m pytest faults`"


def _run(*command: str) -> bool:
    """Whether it succeeded."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
