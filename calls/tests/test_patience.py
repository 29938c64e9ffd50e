"""Writers of SQLite wait for each other, and give up when the database's own patience is over."""

import sqlite3
import time
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction

from calls import patience
from calls.models import Business
from calls.tests.factories import make_business
from recordings.tests.races import race

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL locks rows"),
]


@pytest.fixture
def another() -> Iterator[sqlite3.Connection]:
    """A writer that has begun."""
    make_business()
    connection.close()
    writer = sqlite3.connect(settings.DATABASES["default"]["NAME"], isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    yield writer
    writer.close()


def write() -> float:
    """Seconds until it was written."""
    began = time.monotonic()
    with transaction.atomic():
        Business.objects.update(name="written")
    return time.monotonic() - began


def test_a_writer_waits_for_another_and_then_writes(another: sqlite3.Connection) -> None:
    def end_after_a_while() -> float:
        time.sleep(0.3)
        another.execute("COMMIT")
        return 0.0

    waited, _ = race(write, end_after_a_while)
    assert waited > 0.1
    assert Business.objects.get().name == "written"


def test_a_single_write_waits_as_shortly_as_a_transaction(
    another: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 20:
            another.execute("COMMIT")

    monkeypatch.setattr(patience, "sleep", nap)
    Business.objects.update(name="written")
    assert Business.objects.get().name == "written"
    assert (len(naps), max(naps)) == (20, patience.LONGEST)
    assert not connection.errors_occurred, "a connection that waited is as good as before"


def test_patience_has_an_end_and_the_connection_goes_on(
    another: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"]["OPTIONS"], "timeout", 0.1)
    connection.close()
    with pytest.raises(OperationalError, match="locked"):
        write()
    another.execute("COMMIT")
    write()
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA busy_timeout").fetchone() == (100,)


def test_what_waiting_does_not_mend_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"]["OPTIONS"], "timeout", 3600)  # the test would end before
    refused = pytest.raises(OperationalError, match="within a transaction")
    with transaction.atomic(), connection.cursor() as cursor, refused:
        cursor.execute("BEGIN IMMEDIATE")
    assert not Business.objects.exists()
