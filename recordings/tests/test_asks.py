"""Askings of one process: what comes together is written together, and a single one waits for nobody."""

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


def test_a_write_that_failed_is_the_error_of_who_wrote_and_the_others_write_themselves(writes: Writes) -> None:
    asking, writes.fails = Asks(), 1
    turns._waiting.add(-1)
    with ThreadPoolExecutor(2) as pool:
        first, second = [pool.submit(asking.ask, call(number)) for number in (1, 2)]
        wait_until(lambda: len(asking._waiting) == 2, 10, "both have asked")
        turns._waiting.clear()
        ends = [each.exception(10) for each in (first, second)]
    assert sorted(map(str, ends)) == ["None", "away"]
    assert writes.batches[0] == {1, 2}
    assert len(writes.batches) == 2
