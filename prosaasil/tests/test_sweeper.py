"""The thread that sweeps."""

import logging
import threading

import pytest

from prosaasil.supervisor.sweeper import Sweeper, Watch

pytestmark = pytest.mark.django_db


def test_it_sweeps_again_and_again_until_it_is_stopped() -> None:
    swept = threading.Semaphore(0)
    sweeper = Sweeper(swept.release, interval=0.01)
    sweeper.start()
    for _ in range(3):
        assert swept.acquire(timeout=10)
    sweeper.stop(patience=10)
    assert not sweeper.is_alive()


def test_the_first_sweep_is_at_the_start_and_the_first_look_for_alarms_is_not() -> None:
    swept, looked = threading.Event(), threading.Event()
    sweeper, watch = Sweeper(swept.set, interval=3600), Watch(looked.set, interval=3600)
    sweeper.start()
    watch.start()
    assert swept.wait(10)
    watch.stop(patience=10)
    sweeper.stop(patience=10)
    assert not looked.is_set()


def test_an_error_is_logged_once_however_often_it_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception | None] = [
        OSError("disk"),
        OSError("disk"),
        ValueError("other"),
        OSError("disk"),
        None,
        None,
    ]

    def sweep() -> None:
        if error := errors.pop(0):
            raise error

    caplog.set_level(logging.INFO, logger="prosaasil.serve")
    sweeper = Sweeper(sweep)
    for _ in range(6):
        sweeper.sweep_once()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "The sweep failed; it is tried again"),
        ("ERROR", "The sweep failed; it is tried again"),
        ("ERROR", "The sweep failed; it is tried again"),
        ("WARNING", "The sweep works again"),
    ]


def test_a_look_that_hangs_holds_up_neither_the_sweep_nor_the_stop() -> None:
    looking, go_on, swept = threading.Event(), threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        looking.set()
        go_on.wait(60)

    watch, sweeper = Watch(hang, interval=0.01), Sweeper(swept.release, interval=0.01)
    watch.start()
    sweeper.start()
    assert looking.wait(10)
    assert swept.acquire(timeout=10)
    watch.tell_to_stop()
    sweeper.stop(patience=10)
    assert (watch.is_alive(), watch.daemon, sweeper.is_alive()) == (True, True, False)
    go_on.set()
    watch.join(10)
    assert not watch.is_alive()


def test_what_keeps_alarms_from_being_looked_for_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("disk")

    watch = Watch(fail)
    for _ in range(3):
        watch.sweep_once()
    assert [record.getMessage() for record in caplog.records] == ["Alarms can't be looked for; it is tried again"]
