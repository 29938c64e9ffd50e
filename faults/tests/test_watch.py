"""What the harness takes for "beside a free slot": its own judgement must not be blind."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from faults.watch import has_room
from recordings.models import ProviderAccount

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def account(**columns: object) -> ProviderAccount:
    """One of eight at once, as it was read."""
    made = ProviderAccount(most_at_once=8, **columns)
    made.moment = NOW
    return made


@pytest.mark.parametrize(
    ("running", "background", "click"),
    [
        ({}, True, True),
        ({True: 2, False: 5}, True, True),
        ({False: 6}, False, True),  # a quarter is kept for clicks
        ({True: 8}, False, False),
        ({True: 1, False: 7}, False, False),
    ],
)
def test_a_slot_is_free_up_to_the_cap_and_a_quarter_of_it_for_clicks_alone(
    running: dict[bool, int], background: bool, click: bool
) -> None:
    assert has_room(account(), Counter(running), click=False) is background
    assert has_room(account(), Counter(running), click=True) is click


def test_an_account_that_was_slowed_down_has_fewer_and_one_for_a_click() -> None:
    slowed = account(slowed_to=4, slowed_at=NOW)
    assert not has_room(slowed, Counter({False: 4}), click=False)
    assert has_room(slowed, Counter({False: 4}), click=True)
    assert not has_room(slowed, Counter({True: 1, False: 4}), click=True)


def test_an_account_at_rest_has_none_for_the_background_and_a_paused_one_none_at_all() -> None:
    later = NOW + timedelta(seconds=20)
    resting, paused = account(rests_until=later), account(paused_until=later)
    assert [has_room(resting, Counter(), click=click) for click in (False, True)] == [False, True]
    assert [has_room(paused, Counter(), click=click) for click in (False, True)] == [False, False]
