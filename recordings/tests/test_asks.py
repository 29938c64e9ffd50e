"""Askings of one process: what comes together is written together, and a single one waits for nobody."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError

from calls.models import CallLog
from demo.service import wait_until
from recordings.lifecycle import Answer, Ask, RecordingQuerySet
from recordings.playback import asks, turns
from recordings.playback.asks import Asks

pytestmark = pytest.mark.once


class Writes:
    """What was written, in place of the database."""

    def __init__(self) -> None:
        self.batches: list[set[int]] = []
        self.fails = 0

    def __call__(self, rows: Sequence[CallLog], _ask: Ask) -> dict[int, Answer]:
        self.batches.append({row.pk for row in rows})
        if self.fails:
            self.fails -= 1
            raise DatabaseError("away")
        return dict.fromkeys([row.pk for row in rows], Answer.ENQUEUED)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Writes]:
    written = Writes()
    monkeypatch.setattr(RecordingQuerySet, "ask_each", written)
    monkeypatch.setattr(asks, "GATHER", 60)
    yield written
    turns._waiting.clear()


def call(number: int) -> CallLog:
    return CallLog(pk=number, business_id=1, call_sid=f"CA{number}")


def test_one_who_asks_alone_is_written_at_once(writes: Writes) -> None:
    assert Asks().ask(call(1)) is Answer.ENQUEUED
    assert writes.batches == [{1}]


def test_those_who_come_while_others_wait_for_a_turn_are_written_together(writes: Writes) -> None:
    asking = Asks()
    turns._waiting.add(-1)  # a request that has come
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(asking.ask, call(number)) for number in range(5)]
        wait_until(lambda: len(asking._waiting) == 5, 10, "all five have asked")
        turns._waiting.clear()
        assert [each.result(10) for each in answers] == [Answer.ENQUEUED] * 5
    assert writes.batches == [set(range(5))]


def test_more_of_the_same_is_not_waited_for(writes: Writes, monkeypatch: pytest.MonkeyPatch) -> None:
    turns._waiting.add(-1)
    passed = iter(range(1000))
    monkeypatch.setattr(turns, "taken", lambda: next(passed))  # request after request, and none asks
    assert Asks().ask(call(1)) is Answer.ENQUEUED
    assert next(passed) < 50


def test_nobody_is_waited_for_longer_than_said(writes: Writes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "GATHER", 0.01)
    turns._waiting.add(-1)  # a request that never has its turn
    assert Asks().ask(call(1)) is Answer.ENQUEUED


def test_a_write_that_failed_is_the_error_of_all_who_were_written_together_and_of_nobody_else(writes: Writes) -> None:
    asking, writes.fails = Asks(), 1
    turns._waiting.add(-1)
    with ThreadPoolExecutor(2) as pool:
        together = [pool.submit(asking.ask, call(number)) for number in (1, 2)]
        wait_until(lambda: len(asking._waiting) == 2, 10, "both have asked")
        turns._waiting.clear()
        assert [str(each.exception(10)) for each in together] == ["away", "away"]
    assert asking.ask(call(1)) is Answer.ENQUEUED
    assert writes.batches == [{1, 2}, {1}]


def test_who_has_been_written_for_does_not_wait_for_the_next_write(
    writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, goes_on = Asks(), {1: threading.Event(), 3: threading.Event()}

    def slow(_all: RecordingQuerySet, rows: Sequence[CallLog], ask: Ask) -> dict[int, Answer]:
        goes_on[min(row.pk for row in rows)].wait(10)
        return writes(rows, ask)

    monkeypatch.setattr(RecordingQuerySet, "ask_each", slow)
    turns._waiting.add(-1)
    with ThreadPoolExecutor(3) as pool:
        together = [pool.submit(asking.ask, call(number)) for number in (1, 2)]
        wait_until(lambda: len(asking._waiting) == 2, 10, "both have asked")
        turns._waiting.clear()
        wait_until(lambda: not asking._waiting, 10, "they are being written")
        later = pool.submit(asking.ask, call(3))
        wait_until(lambda: asking._waiting, 10, "another waits")
        goes_on[1].set()
        assert [each.result(5) for each in together] == [Answer.ENQUEUED] * 2
        goes_on[3].set()
        assert later.result(10) is Answer.ENQUEUED
    assert writes.batches == [{1, 2}, {3}]


def test_one_recording_that_two_ask_for_is_written_once_and_answered_twice(writes: Writes) -> None:
    asking = Asks()
    turns._waiting.add(-1)
    with ThreadPoolExecutor(2) as pool:
        together = [pool.submit(asking.ask, call(7)) for _ in range(2)]
        wait_until(lambda: len(asking._waiting) == 2, 10, "both have asked")
        turns._waiting.clear()
        assert [each.result(10) for each in together] == [Answer.ENQUEUED] * 2
    assert (writes.batches, asking._waiting) == ([{7}], [])
