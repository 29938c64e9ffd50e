"""Turns of a web process: few work at once, and nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from recordings.playback import turns


def test_as_many_work_at_once_as_there_are_turns_and_the_next_when_one_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 60)
    working, waits = threading.Semaphore(0), threading.Event()

    def request() -> None:
        with turns.turn():
            working.release()
            turns.give_up()
            waits.wait()

    def busy(done: threading.Event) -> None:
        with turns.turn():
            working.release()
            done.wait()

    done = threading.Event()
    with ThreadPoolExecutor(20) as pool:
        held = [pool.submit(request) for _ in range(10)]
        for _ in held:
            assert working.acquire(timeout=10)  # all of them have had their turn, and wait without it
        others = [pool.submit(busy, done) for _ in range(turns.AT_ONCE + 1)]
        for _ in range(turns.AT_ONCE):
            assert working.acquire(timeout=10)
        assert not working.acquire(blocking=False)
        done.set()
        assert working.acquire(timeout=10)
        waits.set()
        for each in (*held, *others):
            each.result(10)


def test_who_has_been_patient_goes_on_without_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    with ThreadPoolExecutor(10) as pool:
        together = threading.Barrier(turns.AT_ONCE + 3)

        def work() -> None:
            with turns.turn():
                together.wait(10)

        for each in [pool.submit(work) for _ in range(together.parties)]:
            each.result(20)
    assert turns._free.acquire(blocking=False)  # all were given back, and no more than there are
    turns._free.release()
