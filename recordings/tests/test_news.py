"""News reaches whoever listens, and whoever tells it is never the worse for it."""

import errno
import os
import select
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from calls.models import RecordingStatus
from calls.tests.factories import make_business, make_recording
from recordings import news
from recordings.models import Recording
from recordings.playback.lookout import Lookout
from recordings.tests.races import race

pytestmark = pytest.mark.django_db(transaction=True)
SQLITE_ONLY = pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL tells by NOTIFY")
POSTGRESQL_ONLY = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite tells by datagram")


@pytest.fixture(autouse=True)
def run_folder(settings: Settings, tmp_path: Path) -> None:
    settings.RUN_DIR = tmp_path


def heard(ear: news.Ear) -> bool:
    return bool(select.select([ear], [], [], 5)[0])


def test_who_listens_hears_of_a_transition_once_it_is_committed() -> None:
    ear = news.listen()
    row = make_recording(make_business(), "queued")
    race(lambda: Recording.objects.filter(pk=row.pk).start(1, worker="w"))
    assert heard(ear)
    ear.close()


@SQLITE_ONLY
def test_an_ear_that_closes_late_leaves_its_successor_alone(settings: Settings) -> None:
    old = news.listen()
    new = news.listen()
    old.close()
    news.tell()
    assert heard(new)
    new.close()
    assert os.listdir(settings.RUN_DIR) == []


@POSTGRESQL_ONLY
def test_what_comes_while_the_rows_are_read_is_read_again() -> None:
    ear = news.listen()

    def tell() -> None:
        with transaction.atomic():
            news.tell()

    race(tell)
    assert heard(ear)
    ear.clear()
    assert not ear.missed()
    race(tell)
    Recording.objects.count()  # takes the notification in
    assert ear.missed()
    ear.clear()
    assert not ear.missed()
    ear.close()


def test_a_transition_stands_and_its_maker_goes_on_when_no_descriptor_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    ear = news.listen()
    row = make_recording(make_business(), "queued")
    with monkeypatch.context() as patch:
        patch.setattr(news, "_folder", none_left)
        patch.setattr("recordings.bell.socket.socket", none_left)
        [claimed] = Recording.objects.filter(pk=row.pk).start(1, worker="w")
        Recording.objects.give_back([(claimed.pk, claimed.recording_token or "")])
    row.refresh_from_db()
    assert row.recording_download_status == RecordingStatus.QUEUED
    ear.close()


class Watch:
    """Waits for nothing in particular."""

    whole_rows = False
    recordings = ()

    def __init__(self) -> None:
        self.is_blind = False

    def see(self, rows: object, since: float) -> bool:
        """Nothing is waited for."""
        return False

    def tick(self) -> None:
        """Nor here."""

    def blind(self) -> None:
        self.is_blind = True


def test_a_lookout_that_could_not_begin_begins_with_the_next_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    lookout, first, second = Lookout(), Watch(), Watch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "eventfd", none_left)
        with pytest.raises(OSError, match="Too many"):
            lookout.add(first)
    assert lookout._watches == set()
    lookout.add(second)
    thread = lookout._thread
    assert thread is not None
    lookout.remove(second)
    thread.join(10)
    assert not thread.is_alive()


def test_nobody_waits_for_a_lookout_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ear(news._Datagrams):
        def close(self) -> None:
            super().close()
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def broken(*_: Any) -> Any:
        raise MemoryError

    lookout, watch = Lookout(), Watch()
    monkeypatch.setattr(news, "listen", Ear)
    monkeypatch.setattr(lookout, "_read", broken)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    lookout.add(watch)
    thread = lookout._thread
    if thread is not None:
        thread.join(10)
    assert (watch.is_blind, lookout._thread) == (True, None)
