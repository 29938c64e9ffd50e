"""Turns of a web process: few work at once, and nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from demo.service import wait_until
from recordings.playback import turns


def test_one_works_at_a_time_and_the_next_when_it_gives_up(
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
        others = [pool.submit(busy, done) for _ in range(2)]
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
        together = threading.Barrier(4)

        def work() -> None:
            with turns.turn():
                together.wait(10)

        for each in [pool.submit(work) for _ in range(together.parties)]:
            each.result(20)
    assert not turns._free.locked()


def test_it_is_known_who_waits_for_a_turn_and_how_many_have_had_one() -> None:
    before, began = turns.taken(), threading.Event()

    def request() -> None:
        with turns.turn():
            began.set()
            wait_until(turns.are_waited_for, 10, "another waits")

    def another() -> None:
        began.wait(10)
        with turns.turn():
            pass

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(request), pool.submit(another)]:
            each.result(20)
    assert (turns.taken() - before, turns.are_waited_for()) == (2, False)
