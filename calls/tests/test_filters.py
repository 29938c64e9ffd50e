"""calls/filters.py: which calls are meant."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls.filters import CallFilter
from calls.models import Business, CallLog
from calls.tests.factories import make_business, make_call, make_recording

pytestmark = pytest.mark.django_db
JERUSALEM = ZoneInfo("Asia/Jerusalem")  # two hours ahead of UTC in November


@pytest.fixture
def business() -> Business:
    return make_business(timezone="Asia/Jerusalem")


def found(**query: str) -> list[str]:
    calls = CallFilter(query, CallLog.objects.all(), zone=JERUSALEM)
    assert calls.is_valid(), calls.errors
    return sorted(call.call_sid for call in calls.qs)


@pytest.mark.parametrize(
    "typed",
    ["054-1234567", "0541234567", "+972541234567", "+972 54-123-4567", "00972541234567", "(054) 123.45", "1234567",
     "\u200e054\u20111234567\u200f", " 054 1234567 "],
)  # fmt: skip
def test_a_number_is_found_however_it_is_written(business: Business, typed: str) -> None:
    make_call(business, call_sid="here", from_number="+972541234567", to_number="+97231111111")
    make_call(business, call_sid="there", from_number="+97231111111", to_number="+972 (54) 1234567")
    make_call(business, call_sid="else", from_number="+972540000000", to_number="+97231111111")
    assert found(search=typed) == ["here", "there"]


def test_digits_of_two_numbers_never_make_a_third(business: Business) -> None:
    make_call(business, from_number="123", to_number="456")
    assert found(search="2345") == []


def test_words_find_agents_and_call_sids_in_any_case(business: Business) -> None:
    make_call(business, call_sid="CAabc", agent="Dana Levi")
    make_call(business, call_sid="CAdef", agent="דנה")
    assert found(search="dana") == ["CAabc"]
    assert found(search="דנ") == ["CAdef"]
    assert found(search="caDE") == ["CAdef"]
    assert found(search="100%") == []
    assert found(search="+") == []
    assert found(search="  ") == ["CAabc", "CAdef"]


def test_a_call_sid_of_digits_is_found_too(business: Business) -> None:
    make_call(business, call_sid="20261123-7")
    assert found(search="20261123-7") == ["20261123-7"]


def test_a_day_is_the_businesss_day(business: Business) -> None:
    for sid, moment in [
        ("before", datetime(2026, 11, 22, 21, 59, 59, tzinfo=UTC)),
        ("first", datetime(2026, 11, 22, 22, 0, tzinfo=UTC)),
        ("last", datetime(2026, 11, 23, 21, 59, 59, tzinfo=UTC)),
        ("after", datetime(2026, 11, 23, 22, 0, tzinfo=UTC)),
    ]:
        make_call(business, call_sid=sid, started_at=moment)
    assert found(since="2026-11-23", until="2026-11-23") == ["first", "last"]
    assert found(since="2026-11-23") == ["after", "first", "last"]
    assert found(until="2026-11-22") == ["before"]


@pytest.mark.parametrize(
    "moment", ["2026-11-23T10:00:00Z", "2026-11-23T12:00:00+02:00", "2026-11-23T12:00:00 02:00", "2026-11-23T12:00"]
)
def test_a_time_is_exact_with_or_without_its_offset(business: Business, moment: str) -> None:
    make_call(business, call_sid="at", started_at=datetime(2026, 11, 23, 10, 0, tzinfo=UTC))
    make_call(business, call_sid="earlier", started_at=datetime(2026, 11, 23, 9, 59, 59, tzinfo=UTC))
    assert found(since=moment) == ["at"]
    assert found(until=moment) == ["earlier"]


def test_what_changed_at_the_very_time_is_included(business: Business) -> None:
    call = make_call(business)
    call.refresh_from_db()
    assert found(updated_since=call.updated_at.isoformat()) == [call.call_sid]


def test_recordings_are_found_by_status_and_a_missing_one_is_not_no_recording(business: Business) -> None:
    make_call(business, call_sid="none")
    for status in ("missing", "queued", "downloading", "ready", "failed"):
        make_recording(business, status, call_sid=status)
        assert found(recording=status) == [status]
    assert found(recording="none") == ["none"]


def test_the_other_filters_compare_whole_values(business: Business) -> None:
    make_call(business, call_sid="a", direction="outbound", status="busy", agent="Dana")
    make_call(business, call_sid="b", agent="Dan")
    assert found(direction="outbound") == ["a"]
    assert found(status="busy") == ["a"]
    assert found(agent="Dan") == ["b"]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("direction", "sideways", "invalid_choice"), ("status", "gone", "invalid_choice"),
        ("recording", "maybe", "invalid_choice"), ("since", "2026-02-30", "invalid"),
        ("until", "yesterday", "invalid"), ("until", "9999-12-31", "invalid"), ("since", "0001-01-01", "invalid"),
        ("since", "2026-11-23T25:00", "invalid"),
        ("updated_since", "1e9", "invalid"), ("search", "a\x00b", "null_characters_not_allowed"),
        ("search", "x" * 201, "max_length"), ("agent", "\x00", "null_characters_not_allowed"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_named(name: str, value: str, code: str) -> None:
    calls = CallFilter({name: value}, CallLog.objects.all())
    assert not calls.is_valid()
    assert {parameter: [error.code for error in errors] for parameter, errors in calls.errors.as_data().items()} == {
        name: [code]
    }


NAMES = ["search", "direction", "status", "agent", "recording", "since", "until", "updated_since"]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=40) | st.datetimes().map(str) | st.dates().map(str)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_at_all_makes_a_filter_fail(query: dict[str, str]) -> None:
    calls = CallFilter(query, CallLog.objects.all(), zone=JERUSALEM)
    if calls.is_valid():
        assert list(calls.qs) == []
