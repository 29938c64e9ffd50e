"""The backend of the web processes: connections are handed from thread to thread, and none that is in doubt."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connections
from django.db.utils import ConnectionHandler

from prosaasil.pooled_sqlite3 import base

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ConnectionHandler]:
    base.close_kept()
    yield ConnectionHandler({"default": {"ENGINE": "prosaasil.pooled_sqlite3", "NAME": str(tmp_path / "a.sqlite3")}})
    base.close_kept()


def use(database: ConnectionHandler, spoil: Any = None) -> int:
    """A new thread uses what it is given, spoils it, and gives it up. How many threads have used the same before."""
    seen: list[int] = []

    def count(connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE IF NOT EXISTS users (name)")  # it lasts as long as the connection
            seen.extend(cursor.execute("SELECT count(*) FROM users").fetchone())
            cursor.execute("INSERT INTO users VALUES ('one')")

    def thread() -> None:
        connection = database["default"]
        count(connection)
        if spoil:
            spoil(connection)
        connection.close()

    running = threading.Thread(target=thread)
    running.start()
    running.join(10)
    return seen[0]


def test_what_one_thread_gives_up_the_next_is_given(database: ConnectionHandler) -> None:
    assert [use(database) for _ in range(3)] == [0, 1, 2]


def test_one_in_the_middle_of_a_transaction_is_closed(database: ConnectionHandler) -> None:
    use(database, lambda connection: connection.connection.execute("BEGIN"))
    assert use(database) == 0


def test_one_after_an_error_is_closed(database: ConnectionHandler) -> None:
    def fail(connection: Any) -> None:
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    use(database, fail)
    assert use(database) == 0


def test_one_in_the_middle_of_a_select_is_closed(database: ConnectionHandler) -> None:
    """Else the next thread would see the database as it was when that began."""
    cursors: list[Any] = []

    def half_read(connection: Any) -> None:
        cursors.append(connection.connection.execute("SELECT 1 UNION ALL SELECT 2"))
        cursors[0].fetchone()

    use(database, half_read)
    assert use(database) == 0


def test_one_of_another_database_is_not_handed_on(database: ConnectionHandler, tmp_path: Path) -> None:
    use(database)
    other = ConnectionHandler({"default": {"ENGINE": "prosaasil.pooled_sqlite3", "NAME": str(tmp_path / "b.sqlite3")}})
    assert use(other) == 0


def test_no_more_are_kept_than_a_few(database: ConnectionHandler) -> None:
    together = threading.Barrier(base.KEPT + 3)
    threads = [threading.Thread(target=use, args=(database, lambda _: together.wait(10))) for _ in range(base.KEPT + 3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert len(base._kept) == base.KEPT


def test_a_fork_inherits_none(database: ConnectionHandler) -> None:
    use(database)
    assert base._kept
    child = os.fork()
    if not child:
        os._exit(len(base._kept))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not base._kept


def test_the_tests_have_the_plain_backend() -> None:
    assert "pooled" not in connections.settings["default"]["ENGINE"]
