"""The thread that sweeps."""

import logging
import threading

import pytest

from prosaasil.supervisor.sweeper import Sweeper

pytestmark = pytest.mark.django_db


def test_it_sweeps_again_and_again_until_it_is_stopped() -> None:
    swept = threading.Semaphore(0)
    sweeper = Sweeper(swept.release, interval=0.01)
    sweeper.start()
    for _ in range(3):
        assert swept.acquire(timeout=10)
    sweeper.stop(patience=10)
    assert not sweeper.is_alive()


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
