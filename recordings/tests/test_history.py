"""recordings/history.py: the last day in steps of ten minutes."""

import itertools
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from recordings.history import STEP, STEPS, Day, last_day
from recordings.models import Attempt, Outcome, StatusSample
from recordings.samples import MINUTE
from recordings.tests.rows import READY, recording

pytestmark = pytest.mark.django_db
NOTHING = {"missing": 0, "queued": 0, "downloading": 0, "ready": 0, "failed": 0}
_tokens = itertools.count()


def ended(outcome: Outcome, ago: float, count: int = 1) -> None:
    row, moment = recording(READY), timezone.now() - timedelta(seconds=ago)
    for _ in range(count):
        Attempt.objects.create(recording=row, token=f"{next(_tokens):032x}", outcome=outcome, ended_at=moment)


def test_a_day_without_anything_knows_nothing_and_counts_nothing() -> None:
    day = last_day()
    assert {name: set(values) for name, values in day.states.items()} == {name: {None} for name in NOTHING}
    assert (sum(day.downloaded), sum(day.failed)) == (0, 0)
    assert len(day.downloaded) == STEPS


def test_attempts_are_counted_where_they_ended_by_how_they_ended() -> None:
    ended(Outcome.READY, STEP, 3)
    ended(Outcome.READY, 30 * STEP)
    ended(Outcome.FAILED, STEP)
    ended(Outcome.CRASHED, STEP)
    for outcome in (Outcome.ADOPTED, Outcome.GIVEN_BACK):
        ended(outcome, STEP)
    ended(Outcome.READY, 25 * 3600)
    Attempt.objects.create(recording=recording(READY), token="f" * 32)  # runs
    day = last_day()
    assert (day.downloaded[-2], day.downloaded[-31], sum(day.downloaded)) == (3, 1, 4)
    assert (day.failed[-2], sum(day.failed)) == (2, 2)


def test_a_step_has_its_last_sample_and_a_gap_where_there_is_none() -> None:
    last = int(timezone.now().timestamp()) // STEP - 1  # the step before this one
    minutes = STEP // MINUTE
    for minute, ready in ((last * minutes, 5), (last * minutes + 9, 7), ((last - 2) * minutes, 1), (0, 99)):
        StatusSample.objects.create(minute=minute, **NOTHING | {"ready": ready})
    day = last_day()
    assert day.states["ready"][-4:] == [1, None, 7, None]
    assert day.states["failed"][-2] == 0


def test_it_takes_two_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    ended(Outcome.READY, 60, 3)
    with django_assert_num_queries(2):
        last_day()


def day(elapsed: float = 4) -> Day:
    first = 20_000 * 144 + 3  # 00:30 of some day, in steps
    counts = [10] * STEPS
    ready: list[int | None] = [*range(STEPS - 1), None]
    return Day(first, dict.fromkeys(NOTHING, ready), counts, counts, elapsed)


def test_a_rate_is_by_the_minutes_that_have_passed() -> None:
    assert day().a_minute([10] * 4) == [1, 1, 1, 2.5]
    assert day(elapsed=0.01).a_minute([10]) == [10], "a step that has just begun shows no peak"


def test_the_hours_have_their_last_counts_and_all_that_ended_in_them() -> None:
    hours = list(day().hours())
    assert [f"{hour.at:%H:%M}" for hour in (hours[0], hours[1], hours[-1])] == ["00:00", "23:00", "00:30"]
    assert [hour.downloaded for hour in (hours[0], hours[1], hours[-1])] == [30, 60, 30]
    assert hours[0].counts == dict.fromkeys(NOTHING, STEPS - 2), "of the last step that is known"
    assert sum(hour.downloaded for hour in hours) == 10 * STEPS


def test_the_ticks_are_the_clock_s() -> None:
    assert [words for _, words in day().ticks()] == ["06:00", "12:00", "18:00", "00:00"]
