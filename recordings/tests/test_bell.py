"""The bell: a task in the queue that commits with its row, and a wake-up that is heard at once."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from calls.clock import now
from recordings import bell
from recordings.broker import WakingBroker, _give_sign_of_life
from recordings.lifecycle import Answer, Ask
from recordings.models import Recording
from recordings.storage import default_storage
from recordings.tests.rows import (
    DOWNLOADING,
    FAILED,
    MISSING,
    QUEUED,
    bells,
    business,
    held,
    read,
    recording,
    world,
)


@pytest.fixture(autouse=True)
def run_folder(settings: Settings, tmp_path: Path) -> None:
    settings.RUN_DIR = tmp_path


@pytest.mark.django_db
def test_a_bell_is_one_drain_in_the_queue() -> None:
    bell.ring()
    assert [queued.task["func"] for queued in OrmQ.objects.all()] == [bell.DRAIN]
    assert bell.is_rung()


@pytest.mark.django_db
def test_a_bell_that_a_dead_worker_took_does_not_count() -> None:
    bell.ring()
    OrmQ.objects.update(lock=timezone.now() + timedelta(seconds=2760))
    assert not bell.is_rung()


@pytest.mark.django_db
def test_other_tasks_in_the_queue_are_no_bells() -> None:
    """Else a clean-up that waits behind the sweep would keep the sweep from ringing, each minute anew."""
    async_task("recordings.tasks.clean_up")
    assert not bell.is_rung()
    bell.ring()
    assert bell.is_rung()


@pytest.mark.django_db
def test_a_task_that_can_not_be_read_is_no_bell() -> None:
    bell.ring()
    OrmQ.objects.update(payload="signed with another key")
    assert not bell.is_rung()


# --- the row and the bell commit together ---------------------------------------------------------------------------


def queue() -> None:
    recording(MISSING, business())
    assert Recording.objects.queue(Ask.PLAY) == 1


def retry_due() -> None:
    recording(FAILED, next_retry_at=now(-1))
    assert Recording.objects.retry_due() == 1


def give_back() -> None:
    assert Recording.objects.give_back([held(recording(DOWNLOADING))]) == 1


def release() -> None:
    assert Recording.objects.release(dead=[held(recording(DOWNLOADING))]) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", [queue, retry_due, give_back, release])
def test_a_rollback_takes_back_the_row_and_the_bell_and_a_commit_keeps_both(verb: Callable[[], None]) -> None:
    business()
    with bell.Listener(bell.socket_path("cluster")) as listener:
        with transaction.atomic():
            verb()
            assert bells() == 1
            transaction.set_rollback(True)
        assert bells() == 0
        assert not Recording.objects.filter(recording_download_status=QUEUED).exists()
        assert not listener.wait(0), "a wake-up was sent for what was never committed"
        verb()
        assert (bells(), Recording.objects.filter(recording_download_status=QUEUED).count()) == (1, 1)
        assert listener.wait(5)


@pytest.mark.django_db(transaction=True)
def test_a_bell_that_can_not_be_rung_leaves_the_row_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    row = recording(MISSING)
    monkeypatch.setattr(bell, "async_task", lambda name: 1 / 0)
    before = world()
    with pytest.raises(ZeroDivisionError):
        Recording.objects.ask(row, Ask.PLAY)
    assert world() == before


@pytest.mark.django_db
def test_a_promotion_wakes_and_rings_no_bell(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    row = recording(QUEUED)
    with bell.Listener(bell.socket_path("drain-1")) as listener:
        with django_capture_on_commit_callbacks(execute=True):
            assert Recording.objects.ask(row, Ask.PLAY) == Answer.UNDER_WAY
            assert not listener.wait(0)
        assert listener.wait(5)
    assert (bells(), read(row).recording_priority) == (0, 1)


# --- the wake-up ----------------------------------------------------------------------------------------------------


def test_everyone_who_listens_on_this_machine_is_woken(settings: Settings) -> None:
    names = bell.listeners()
    assert names == ["cluster", "drain-0", "drain-1"]
    listeners = [bell.Listener(bell.socket_path(name)) for name in names]
    bell.wake()
    assert all(listener.wait(5) for listener in listeners)
    for listener in listeners:
        listener.close()


def test_nobody_listening_is_fine() -> None:
    bell.wake()


def test_a_listener_that_does_not_read_is_told_until_it_is_full_and_nobody_waits_for_it() -> None:
    with bell.Listener(bell.socket_path("cluster")) as listener:
        for _ in range(2000):
            bell.wake()
        listener.clear()
        assert not listener.wait(0)
        bell.wake()
        assert listener.wait(5)


def test_a_listener_replaces_a_dead_one_and_only_its_user_may_wake_it() -> None:
    bell.Listener(bell.socket_path("cluster")).close()
    with bell.Listener(bell.socket_path("cluster")) as listener:
        assert Path(bell.socket_path("cluster")).stat().st_mode & 0o777 == 0o600
        bell.wake()
        assert listener.wait(5)


def test_a_run_folder_with_a_long_path_gets_a_short_socket(settings: Settings, tmp_path: Path) -> None:
    settings.RUN_DIR = tmp_path / ("ש" * 60)
    assert len(bell.socket_path("drain-0").encode()) <= 107
    assert bell.socket_path("drain-0") != bell.socket_path("drain-1")
    with bell.Listener(bell.socket_path("drain-0")) as listener:
        bell.wake()
        assert listener.wait(5)
    Path(bell.socket_path("drain-0")).unlink()


@pytest.mark.django_db
def test_a_full_disk_does_not_end_who_writes_down_that_a_task_has_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_args: object) -> bool:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr("django_q.brokers.orm.ORM.acknowledge", full)
    assert WakingBroker().acknowledge(1) is False
    assert "can't be written down" in caplog.text


def test_a_sign_of_life_names_the_storage_and_is_written_over_the_last_one(settings: Settings, tmp_path: Path) -> None:
    settings.RUN_DIR = settings.RECORDINGS_ROOT = tmp_path
    default_storage().prepare()
    bell.sign_of_life().write_text("x" * 100)
    os.utime(bell.sign_of_life(), (1, 1))
    _give_sign_of_life()
    assert bell.sign_of_life().read_text() == default_storage().marker()
    assert time.time() - bell.sign_of_life().stat().st_mtime < 5
    (tmp_path / ".prosaasil-storage").unlink()
    os.utime(bell.sign_of_life(), (1, 1))
    _give_sign_of_life()
    assert bell.sign_of_life().read_text() == ""
    assert time.time() - bell.sign_of_life().stat().st_mtime < 5


# --- a bell while a drain is at work --------------------------------------------------------------------------------


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Iterator[WakingBroker]:
    monkeypatch.setattr("recordings.broker.HOLD", 0.01)
    monkeypatch.setattr("recordings.broker.LONGEST_SLEEP", 0.01)
    settings.RECORDINGS_ROOT = tmp_path
    one = WakingBroker(list_key="prosaasil")
    yield one
    if one._listener:
        one._listener.close()


def taken(broker: WakingBroker) -> int:
    """How many tasks the pusher takes from the queue."""
    return len(broker.dequeue() or [])


@pytest.mark.django_db(transaction=True)
def test_a_bell_that_a_drain_at_work_has_answered_is_removed_and_becomes_no_task(broker: WakingBroker) -> None:
    with bell.Listener(bell.socket_path("drain-1")):
        bell.ring()
        bell.ring()
        assert (taken(broker), bells()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_bell_for_what_still_waits_becomes_a_task_though_a_drain_is_at_work(broker: WakingBroker) -> None:
    recording(QUEUED)
    with bell.Listener(bell.socket_path("drain-1")):
        bell.ring()
        assert (taken(broker), bells()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_wake_up_rings_for_what_waits_without_a_bell_where_no_drain_is_at_work(broker: WakingBroker) -> None:
    assert taken(broker) == 0
    row = recording(QUEUED)
    assert (taken(broker), bells()) == (0, 0), "nobody woke it"
    Recording.objects.filter(pk=row.pk).promote()
    assert (taken(broker), bells()) == (0, 1)
    assert taken(broker) == 1


@pytest.mark.django_db(transaction=True)
def test_a_bell_becomes_a_task_at_once_where_the_last_drain_has_died(
    broker: WakingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recordings.broker.HOLD", 3600)  # the test would end before
    bell.Listener(bell.socket_path("drain-1")).close()
    assert not bell.a_drain_listens()
    assert taken(broker) == 0
    bell.ring()
    assert (taken(broker), bells()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_the_schedules_tasks_are_taken_whoever_is_at_work(broker: WakingBroker) -> None:
    with bell.Listener(bell.socket_path("drain-1")):
        async_task("recordings.tasks.sweep")
        bell.ring()
        assert (taken(broker), taken(broker)) == (1, 0)
        assert [queued.task["func"] for queued in OrmQ.objects.all()] == ["recordings.tasks.sweep"], (
            "and the bell is gone"
        )
