"""calls/keyset.py: pages by key."""

import base64
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from calls.keyset import BadCursor, Order, Page, paginate
from calls.models import Business, CallLog
from calls.tests.factories import NOON, make_business, make_call

pytestmark = pytest.mark.django_db


@pytest.fixture
def business() -> Business:
    return make_business()


def page(cursor: str | None = None, limit: int = 3, order: Order = Order.NEWEST) -> Page:
    return paginate(CallLog.objects.all(), order=order, cursor=cursor, limit=limit)


def sids(page: Page) -> list[str]:
    return [call.call_sid for call in page.rows]


def walk(order: Order, limit: int) -> list[str]:
    """All call SIDs, page after page."""
    seen, cursor = [], None
    while True:
        found = page(cursor, limit, order)
        seen += sids(found)
        if found.next is None:
            return seen
        cursor = found.next


def test_every_call_is_on_exactly_one_page_also_when_many_started_in_the_same_instant(business: Business) -> None:
    for number in range(10):
        make_call(business, call_sid=f"CA{number}", started_at=NOON + timedelta(minutes=number // 4))
    newest_first = [call.call_sid for call in CallLog.objects.order_by("-started_at", "-id")]
    for limit in (1, 2, 3, 4, 9, 10, 11):
        assert walk(Order.NEWEST, limit) == newest_first


def test_the_last_changed_comes_last_in_the_order_of_changes(business: Business) -> None:
    calls = [make_call(business) for _ in range(5)]
    CallLog.objects.filter(pk=calls[1].pk).update(updated_at=calls[4].updated_at + timedelta(seconds=1))
    seen = walk(Order.UPDATED, 2)
    assert len(seen) == 5
    assert seen[-1] == calls[1].call_sid


def test_previous_leads_back_the_way_that_next_came(business: Business) -> None:
    for _ in range(8):
        make_call(business)
    first = page()
    second = page(first.next)
    third = page(second.next)
    assert first.previous is None
    assert third.next is None
    back = page(third.previous)
    assert sids(back) == sids(second)
    assert back.next is not None
    assert sids(page(back.next)) == sids(third)
    start = page(back.previous)
    assert sids(start) == sids(first)
    assert start.previous is None


def test_a_call_that_arrives_between_two_pages_repeats_and_hides_nothing(business: Business) -> None:
    calls = [make_call(business).call_sid for _ in range(4)]
    first = page(limit=2)
    make_call(business)
    assert sids(first) + sids(page(first.next, limit=2)) == calls[::-1]


def test_a_page_of_nothing_has_no_neighbours(business: Business) -> None:
    assert page() == Page([], None, None)


def test_a_page_is_one_query_at_any_depth(
    business: Business, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(6):
        make_call(business)
    cursor = page().next
    with django_assert_num_queries(1):
        page(cursor)


def test_a_cursor_of_one_order_is_refused_by_the_other(business: Business) -> None:
    for _ in range(4):
        make_call(business)
    with pytest.raises(BadCursor):
        page(page().next, order=Order.UPDATED)


def packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x", "====", "a" * 5000, "\x00", "עברית", packed(" "), packed("7"), packed("{}"), packed("[]"),
        packed("[" * 100),
        packed('["newest","n","2026-11-23T10:00:00+00:00","1"]'),
        packed('["newest","n","2026-11-23T10:00:00+00:00",true]'),
        packed('["newest","n","2026-11-23T10:00:00+00:00",99999999999999999999]'),
        packed('["newest","n","2026-11-23T10:00:00+00:00",-1]'),
        packed('["newest","n","2026-11-23T10:00:00",1]'),
        packed('["newest","n","2026-13-23T10:00:00+00:00",1]'),
        packed('["newest","n","0001-01-01T00:00:00+14:00",1]'),
        packed('["newest","n",null,1]'),
        packed('["newest","x","2026-11-23T10:00:00+00:00",1]'),
        packed('["newest","n","2026-11-23T10:00:00+00:00",1,2]'),
    ],
)  # fmt: skip
def test_a_cursor_that_we_did_not_give_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        page(cursor)


@given(
    st.one_of(
        st.text(max_size=300), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(packed)
    )
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_at_all_makes_a_page_fail_otherwise(cursor: str) -> None:
    try:
        answer: Any = page(cursor)
    except BadCursor:
        return
    assert isinstance(answer, Page)
