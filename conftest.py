"""What all tests share: a data folder of their own, no network but loopback, real servers on request."""

import fcntl
import ipaddress
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import django
import pytest

# First of all: pytest-django, which finds no settings named in pyproject.toml, leaves it to us to set Django up.
OUR_NAMES = (
    "RECORDINGS_", "PROSAASIL_", "BIND", "PORT", "PUBLIC_URL", "LOG_", "WEB_", "DEBUG", "SECRET_KEY",
    "ALLOWED_HOSTS", "LANGUAGE_CODE", "DATABASE_POOL", "ALARM_", "EMAIL_URL", "METRICS_",
)  # fmt: skip
for name in [name for name in os.environ if name.startswith(OUR_NAMES)]:
    del os.environ[name]
VAR = tempfile.mkdtemp(prefix="prosaasil-tests-")
os.environ["PROSAASIL_VAR"] = VAR
os.environ["DJANGO_SETTINGS_MODULE"] = "prosaasil.settings"
django.setup()

from demo import postgres  # noqa: E402
from demo.service import Service, copy_prepared, prepare, wait_until  # noqa: E402

StartService = Callable[..., Service]


def pytest_configure() -> None:
    """For all tests in this process: passwords that cost little, static files that nobody has collected."""
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)


@pytest.fixture(scope="session", autouse=True)
def quickly_emptied() -> Iterator[None]:
    """After a test with transactions of its own: an empty database, as Django's `flush` leaves it, 20 times as fast.

    What only migrations write (content types, permissions) stays in place of being deleted and made anew.
    """
    from django.test import TransactionTestCase

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _self: _empty_the_database())
        yield


def _empty_the_database() -> None:
    from django.db import connection, transaction

    from recordings import schedules

    all_tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    tables = sorted(set(all_tables) - {"django_content_type", "auth_permission"})
    quoted = [connection.ops.quote_name(table) for table in tables]
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # TRUNCATE waits for those who still write, and takes dead rows away: so do these, where there are any.
            cursor.execute(f"LOCK TABLE {', '.join(quoted)} IN ACCESS EXCLUSIVE MODE")
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND pg_relation_size(oid) > 1000000", [tables]
            )
            for (large,) in cursor.fetchall():
                cursor.execute(f"TRUNCATE {connection.ops.quote_name(large)} CASCADE")
        for table in quoted:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own tables
        schedules.create()


USES_A_DATABASE = {
    "db", "transactional_db", "service", "lasting_service", "house", "postgres_server", "prepared_database",
}  # fmt: skip
"""Fixtures that reach one, beside the mark `django_db`."""


LONGEST = {"test_faults.py", "test_state_machine.py"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL, which is the second pass, what no database can change is left out; so are tests marked `once`.

    What takes longest begins first, or all workers but one would wait for it in the end.
    """
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if not on_postgres():
        return
    left_out = [item for item in items if item.get_closest_marker("once") or not _uses_a_database(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def on_postgres() -> bool:
    """Whether this pass runs on a PostgreSQL server."""
    return os.environ.get("DATABASE_URL", "").startswith("postgres")


def _uses_a_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or not USES_A_DATABASE.isdisjoint(fixtures)


def pytest_unconfigure() -> None:
    """The data folder goes with the run."""
    shutil.rmtree(VAR, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """No test speaks to another machine: connecting anywhere else raises at once."""
    connect, connect_ex, send_to = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto

    def guard(address: Any) -> None:
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            raise PermissionError(f"A test tried to reach {address[0]}; only this machine may be reached from tests.")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        guard(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        guard(address)
        return connect_ex(self, address)

    def guarded_send_to(self: socket.socket, data: Any, *arguments: Any) -> int:
        guard(arguments[-1])
        return send_to(self, data, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket.socket, "sendto", guarded_send_to)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """pytest-django's. At its end a client that has just gone may not be seen off yet, and nothing is dropped."""
    from django.db import connection

    yield
    if connection.vendor != "postgresql":
        return
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def is_alone() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(others)
            return bool(cursor.fetchone()[0] == 0)

    with django_db_blocker.unblock():
        wait_until(is_alone, what="nobody else is in the tests' database")


@pytest.fixture(autouse=True)
def nothing_told_before() -> None:
    """Troubles that are told once a minute are news to each test, whatever the one before it told."""
    from django.conf import settings

    from recordings import away

    away._told_until.clear()
    away._unwritten.clear()
    # Where a test of this process that named another folder has left the setting so, it is that one.
    for told in Path(getattr(settings, "RUN_DIR", Path(VAR, "run"))).glob("*.told"):
        told.unlink(missing_ok=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL of its own, for a test that needs one whatever the others run on; it may be restarted."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def prepared_var(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A data folder with an empty SQLite database and the static files; made once for all of xdist's workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "prepared"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "run" / "static.stamp").exists():
            prepare(folder)
    return folder


@pytest.fixture(scope="session")
def prepared_database(prepared_var: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """The address of an empty, migrated database to copy, where the tests run on PostgreSQL; else None."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        yield None
        return
    with postgres.fresh_database(url) as database:
        var = tmp_path_factory.mktemp("prepared") / "var"
        copy_prepared(prepared_var, var)
        prepare(var, database)
        yield database


@pytest.fixture
def service(prepared_var: Path, prepared_database: str | None, tmp_path: Path) -> Iterator[StartService]:
    """Start a real service: `service()`, `service("--demo")`, `service(environment={…}, start=False)`.

    Each call has a data folder and a database of its own, unless it is given another one's `like`. At the end all are
    stopped, and a process that is left fails the test.
    """
    with _services(prepared_var, prepared_database, tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def lasting_service(
    prepared_var: Path, prepared_database: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartService]:
    """The same for services that all tests of a module share."""
    with _services(prepared_var, prepared_database, tmp_path_factory.mktemp("service")) as start:
        yield start


@contextmanager
def _services(prepared: Path, template: str | None, folder: Path) -> Iterator[StartService]:
    started: list[Service] = []
    with ExitStack() as databases:

        def start(*arguments: str, like: Service | None = None, start: bool = True, **options: Any) -> Service:
            if like is not None:
                var, url = like.var, like.environment.get("DATABASE_URL")
            else:
                var, url = folder / f"var{len(started)}", None
                copy_prepared(prepared, var)
                if template is not None:
                    server = os.environ["DATABASE_URL"]
                    url = databases.enter_context(postgres.fresh_database(server, template=template))
            new = Service(var, *arguments, database_url=url, **options)
            started.append(new)
            if start:
                new.start()
            return new

        yield start
        left = _stop_all(started)
    assert left == []


def _stop_all(services: list[Service]) -> list[str]:
    """Stop them and end what is left; returns the command lines of what was."""
    left = []
    for each in services:
        try:
            each.stop()
        except subprocess.TimeoutExpired:
            left.append(f"serve on {each.url}, which SIGTERM did not end")
        left += [Path(f"/proc/{member.pid}/cmdline").read_text().replace("\0", " ") for member in each.members()]
        each.kill()
    return left


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a real Chromium. No browser is a failure, not a skip."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.fail("No Chromium: run ./test, which installs one, or set CHROMIUM to its path.")
    return found
