"""What a supervisor leaves in the run folder: that it runs, and what must be ended if it dies without a word."""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from prosaasil.supervisor import processes

TOKEN_NAME = "PROSAASIL_SERVE"  # noqa: S105 - the name of an environment variable that marks our processes
PATIENCE = 3.0  # seconds that leftovers have to end by themselves before they are killed


class AlreadyServed(Exception):
    """Another `serve` runs one of these groups on this data folder. `pid` is its process, 0 if unknown."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid


class LeftoversStay(Exception):
    """Processes of an earlier `serve` can't be ended. `pids` are theirs."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(pids)
        self.pids = pids


class RunFolder:
    """The locks and the records of these groups, in `folder`. One supervisor at a time holds a group's."""

    def __init__(self, folder: Path, groups: Iterable[str]) -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        self._groups = sorted(groups)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the groups of the data folder; raises AlreadyServed. A lock goes with the process, however that ends."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.ExitStack() as locks:
            for name in self._groups:
                locks.enter_context(self._lock(name))
            yield

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        lock = os.open(self.folder / f"serve-{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyServed(int(os.read(lock, 32) or 0)) from None
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
            yield
            os.ftruncate(lock, 0)
        finally:
            os.close(lock)

    def remember(self, name: str, leader: int) -> None:
        """Write down that the group `name` now is the session of `leader`; done before anything depends on it.

        Raises OSError, which names the file: on a full disk.
        """
        text = json.dumps({"token": self.token, "session": leader})
        aside = self._record(name).with_suffix(".new")
        try:
            aside.write_text(text)
            aside.replace(self._record(name))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(aside)) from error

    def forget(self) -> None:
        """All groups have ended. A record that stays names a process that no longer is: harmless."""
        for name in self._groups:
            with contextlib.suppress(OSError):
                self._record(name).unlink(missing_ok=True)

    def end_leftovers(self) -> int:
        """End what a killed `serve` left running; returns how many processes. Raises LeftoversStay.

        They are told from strangers with the same numbers by a token that only they have in their environment.
        Its leaders are asked first: the kernel did so when their parent died, and they may be giving leases back.
        """
        records = {record for name in self._groups if (record := self._recorded(name))}
        found = _of(records)
        leaders = found & {session for _, session in records}
        _signal(leaders, signal.SIGTERM)
        left = _wait_until_gone(records, PATIENCE if leaders else 0)
        _signal(left, signal.SIGKILL)
        if left := _wait_until_gone(records, PATIENCE):
            raise LeftoversStay(sorted(left))
        self.forget()
        return len(found)

    def _record(self, name: str) -> Path:
        return self.folder / f"group-{name}.json"

    def _recorded(self, name: str) -> tuple[str, int] | None:
        """The token and the session that were written down for a group."""
        try:
            record = json.loads(self._record(name).read_text())
            return str(record["token"]), int(record["session"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _of(records: set[tuple[str, int]]) -> set[int]:
    return {
        process.pid
        for process in processes.everyone()
        for token, session in records
        if process.session == session
        and not process.zombie
        and processes.has_environment(process.pid, TOKEN_NAME, token)
    }


def _signal(pids: Iterable[int], signum: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def _wait_until_gone(records: set[tuple[str, int]], seconds: float) -> set[int]:
    deadline = time.monotonic() + seconds
    while (left := _of(records)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left
