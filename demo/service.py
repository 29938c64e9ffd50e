"""A whole service in processes of its own, with a data folder of its own: for tests and benchmarks."""

import http.client
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from demo import warm
from prosaasil.supervisor import processes
from prosaasil.supervisor.ports import LOOPBACK, free_port

MANAGE = warm.MANAGE
MARK = "PROSAASIL_SERVICE"
"""In the environment of all processes of a service, whatever becomes of their parents: tells them from all others."""

OURS = (
    "PROSAASIL_", "RECORDINGS_", "DATABASE_URL", "BIND", "PORT", "PUBLIC_URL", "LOG_", "WEB_", "ALARM_", "EMAIL_URL",
    "METRICS_",
)  # fmt: skip
"""Names that start so are not passed on: a service has the settings it is given, not those of who starts it."""

T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """One living process of a service; `role` is its group: web, cluster or command."""

    pid: int
    parent: int
    role: str
    leads: bool


class Service:
    """`manage.py serve` on a free port. Its files are in `var`: the database (unless it is given), recordings, log."""

    def __init__(
        self,
        var: Path,
        *arguments: str,
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.var = var
        self.arguments = arguments
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._mark = secrets.token_hex(16)
        self._database_url = database_url
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0  # when it was started, as files have their times
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environment = inherited | {"PROSAASIL_VAR": str(var), "PORT": str(self.port)} | dict(environment or {})
        if database_url:
            self.environment["DATABASE_URL"] = database_url

    @property
    def pid(self) -> int:
        """The supervisor's process."""
        assert self._process is not None, "the service has not been started"
        return self._process.pid

    def start(self, wait: bool = True) -> None:
        """Start it; `wait` until its web and its cluster answer."""
        self.var.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._began = time.time()
        with (self.var / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(MANAGE), "serve", *self.arguments],
                env=self.environment | {MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 - takes no lock
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Until /healthz answers and the cluster's processes are all there."""
        wait_until(self._ready, seconds, f"{self.url} answers")

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 15) -> float:
        """Signal the supervisor, and it alone; returns how long it took to go, in seconds."""
        began = time.monotonic()
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                doing = "\n".join(_what_threads_do(self.pid))
                raise AssertionError(f"It does not stop within {seconds} s:\n{doing}\n{self.log()}") from None
        return time.monotonic() - began

    def exit_status(self, seconds: float = 60) -> int:
        """Wait for the supervisor to end by itself."""
        assert self._process is not None, "the service has not been started"
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End whatever is left, at once, also what has lost its parent."""
        while living := self.members():
            for member in living:
                try:
                    os.kill(member.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.01)
        if self._process is not None:
            self._process.wait()

    def members(self) -> list[Member]:
        """All living processes of the service, the supervisor first."""
        return [
            Member(process.pid, process.parent, _role(process.pid), process.session == process.pid)
            for process in processes.everyone()
            if not process.zombie and processes.has_environment(process.pid, MARK, self._mark)
        ]

    def group(self, role: str) -> list[Member]:
        """The living processes of one group, its leader first."""
        found = [member for member in self.members() if member.role == role and member.pid != self.pid]
        return sorted(found, key=lambda member: (not member.leads, member.pid))

    @property
    def vendor(self) -> str:
        """Of its database, as Django names them."""
        return "postgresql" if self._database_url else "sqlite"

    def sql(self, query: str, *parameters: Any, patience: float = 30) -> list[tuple[Any, ...]]:
        """Run one statement on its database, committed; parameters are written %s.

        `patience`: seconds that it waits for a lock; then sqlite3.OperationalError, psycopg.errors.LockNotAvailable.
        """
        if self._database_url:
            wait = f"-c lock_timeout={round(1000 * patience)}"
            with psycopg.connect(self._database_url, autocommit=True, options=wait) as connection:
                cursor = connection.execute(query.encode(), parameters or None)
                return cursor.fetchall() if cursor.description else []
        with closing(sqlite3.connect(self.var / "prosaasil.sqlite3", timeout=patience, isolation_level=None)) as lite:
            return lite.execute(query.replace("%s", "?"), parameters).fetchall()

    def manage(self, *arguments: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a management command with the service's settings; its output is text."""
        return warm.manage(arguments, self.environment, stdin=stdin, check=check)

    def log(self) -> str:
        """What it has written to its outputs so far."""
        return (self.var / "serve.log").read_text()

    def _ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"serve ended with {self._process.returncode}:\n{self.log()}")
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            sign_of_life = (self.var / "run" / "cluster.alive").stat().st_mtime
            return connection.getresponse().status == 200 and sign_of_life > self._began
        except OSError:
            return False
        finally:
            connection.close()


def _hear_ctrl_c() -> None:
    """A shell that runs us in the background has us ignore it, and with us all whom we start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _what_threads_do(pid: int) -> list[str]:
    """Each thread with what the kernel has it wait for: proc(5), wchan and syscall."""
    told = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            told.append(" ".join((task / name).read_text().strip() for name in ("comm", "wchan", "syscall")))
    return told


def prepare(var: Path, database_url: str | None = None) -> None:
    """Make a data folder fit for serving, as a copy of which others can be made."""
    service = Service(var, database_url=database_url)
    service.manage("prepare")


def copy_prepared(prepared: Path, var: Path) -> None:
    """A data folder like the prepared one; the static files are shared, the rest is copied."""
    var.mkdir(parents=True, mode=0o750)
    (var / "static").symlink_to(prepared / "static")
    for entry in prepared.iterdir():
        if entry.name == "static":
            continue
        if entry.is_dir():
            shutil.copytree(entry, var / entry.name)
        else:
            shutil.copy2(entry, var)


def wait_until(condition: Callable[[], T], seconds: float = 30, what: str = "the condition holds") -> T:
    """Ask again and again until the answer is true, and return it; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds} s: {what}")
        time.sleep(0.02)
    return answer


def _role(pid: int) -> str:
    for role in ("web", "cluster"):
        if processes.has_environment(pid, "PROSAASIL_ROLE", role):
            return role
    return "command"
