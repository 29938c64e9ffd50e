"""Bytes a second, right across threads and processes."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from recordings.download import bandwidth as module
from recordings.download.bandwidth import BURST, Limit, bandwidth

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def time(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves."""
    settings.RUN_DIR = tmp_path
    clock = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    return clock


def test_after_a_silence_half_a_second_is_free_and_the_rest_has_its_price(time: list[float]) -> None:
    limit = Limit("x", 1000)
    assert limit.take(int(1000 * BURST), click=False) == 0
    assert limit.take(1000, click=False) == pytest.approx(1.0)
    assert limit.take(500, click=False) == pytest.approx(1.5)
    time[0] += 1.5 + BURST
    assert limit.take(500, click=False) == 0


def test_over_any_time_no_more_than_the_limit_is_taken(time: list[float]) -> None:
    limit, taken, began = Limit("x", 1000), 0, time[0]
    for size in [100, 900, 4000, 1, 250] * 20:
        taken += size
        time[0] += limit.take(size, click=False)
    assert taken <= 1000 * (time[0] - began + BURST) + 1


def test_a_click_goes_before_the_background_which_then_pays_for_both(time: list[float]) -> None:
    limit = Limit("x", 1000)
    limit.take(10_000, click=False)
    assert limit.take(500, click=True) == 0
    assert limit.take(1000, click=True) == pytest.approx(1.0)
    assert limit.take(1000, click=False) == pytest.approx(12.0, abs=0.01)


def test_an_account_waits_for_its_own_limit_and_for_that_of_all(settings: Any) -> None:
    settings.RECORDINGS_BYTES_PER_SECOND = 1000
    one, other = bandwidth(1, 500, click=False), bandwidth(2, None, click=False)
    assert one.take(1000) == pytest.approx(1.5)
    assert other.take(1000) == pytest.approx(1.5), "two thousand of all"
    settings.RECORDINGS_BYTES_PER_SECOND = 0
    assert bandwidth(2, None, click=False).take(10**9) == 0


def test_what_cannot_be_kept_does_not_hold_a_download_up(settings: Any, tmp_path: Path) -> None:
    settings.RUN_DIR = tmp_path / "gone"
    assert Limit("x", 1).take(10**6, click=False) == 0


def _take(folder: Path, results: Any) -> None:
    django_settings.RUN_DIR = folder
    results.put(max(Limit("shared", 1000).take(10, click=False) for _ in range(100)))


def test_processes_share_one_limit(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    takers = [context.Process(target=_take, args=(tmp_path, results)) for _ in range(4)]
    for taker in takers:
        taker.start()
    waits = [results.get(timeout=30) for _ in takers]
    for taker in takers:
        taker.join(30)
    assert max(waits) == pytest.approx(4.0 - BURST), "four thousand bytes in all, at a thousand a second"
