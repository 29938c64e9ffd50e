"""GET calls/ and calls/{call_sid}/."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from rest_framework.authtoken.models import Token

from calls.models import Business, CallLog
from calls.tests.factories import NOON, make_business, make_call, make_member, make_ready, make_recording
from recordings.status import payload
from recordings.tests.api import browser_of, problem, program_of, storage  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db


@pytest.fixture
def business() -> Business:
    return make_business(timezone="Asia/Jerusalem")


@pytest.fixture
def client(business: Business) -> Client:
    return program_of(make_member(business))


def sids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [call["call_sid"] for call in response.json()["results"]]


def test_a_call_says_all_of_itself_and_of_its_recording(business: Business, client: Client) -> None:
    row = make_recording(business, "failed", recording_next_retry_at=NOON, started_at=NOON)
    response = client.get(f"/api/calls/{row.call_sid}/")
    body = response.json()
    assert response["Cache-Control"] == "no-store"
    assert body.pop("recording") == payload(row)
    assert body.pop("created_at").endswith("Z")
    assert body.pop("updated_at").endswith("Z")
    assert body == {
        "call_sid": row.call_sid, "direction": "inbound", "from_number": row.from_number, "to_number": "+97231234567",
        "status": "completed", "agent": "Dana", "started_at": "2026-11-23T10:00:00Z", "duration": 60,
    }  # fmt: skip


def test_a_call_without_a_recording_has_null_there(business: Business, client: Client) -> None:
    call = make_call(business)
    assert client.get(f"/api/calls/{call.call_sid}/").json()["recording"] is None


def test_next_and_previous_can_be_followed_as_they_are_and_keep_the_filters(business: Business, client: Client) -> None:
    calls = [make_call(business, agent="Dana L").call_sid for _ in range(5)][::-1]
    make_call(business, agent="Noa")
    first = client.get("/api/calls/", {"limit": "2", "agent": "Dana L"})
    second = client.get(first.json()["next"])
    third = client.get(second.json()["next"])
    assert sids(first) + sids(second) + sids(third) == calls
    assert third.json()["next"] is None
    assert sids(client.get(third.json()["previous"])) == calls[2:4]
    assert first.json()["previous"] is None
    assert set(first.json()) == {"next", "previous", "results"}


def test_those_who_keep_a_copy_read_on_from_the_last_change(business: Business, client: Client) -> None:
    calls = [make_call(business) for _ in range(3)]
    later = max(call.updated_at for call in CallLog.objects.all()) + timedelta(seconds=5)
    CallLog.objects.filter(pk=calls[0].pk).update(updated_at=later)
    assert sids(client.get("/api/calls/?order=updated"))[-1] == calls[0].call_sid
    assert sids(client.get("/api/calls/", {"order": "updated", "updated_since": later.isoformat()})) == [
        calls[0].call_sid
    ]


def test_a_filter_reaches_the_list(business: Business, client: Client) -> None:
    ready = make_ready(business, from_number="+972541234567")
    make_call(business)
    assert sids(client.get("/api/calls/?recording=ready")) == [ready.call_sid]
    assert sids(client.get("/api/calls/?search=054-123-4567")) == [ready.call_sid]


def test_everything_that_makes_no_sense_is_named_at_once(client: Client) -> None:
    document = problem(client.get("/api/calls/?limit=0&order=random&since=then&status=odd&cursor=abc"))
    assert (document["status"], document["code"]) == (400, "invalid_parameter")
    assert {(error["parameter"], error["code"]) for error in document["errors"]} == {
        ("limit", "invalid"), ("order", "invalid_choice"), ("since", "invalid"), ("status", "invalid_choice"),
    }  # fmt: skip
    document = problem(client.get("/api/calls/?cursor=abc"))
    assert [(error["parameter"], error["code"]) for error in document["errors"]] == [("cursor", "invalid")]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.5", "x", "", "1e3", "٣", "9" * 5000])
def test_a_limit_is_a_whole_number_from_1_to_200(client: Client, limit: str) -> None:
    assert problem(client.get("/api/calls/", {"limit": limit}))["errors"][0]["parameter"] == "limit"


def test_another_businesss_calls_do_not_exist(business: Business, client: Client) -> None:
    other = make_business()
    theirs, ours = make_call(other, call_sid="CA1"), make_call(business, call_sid="CA2")
    assert sids(client.get("/api/calls/")) == [ours.call_sid]
    assert problem(client.get(f"/api/calls/{theirs.call_sid}/"))["status"] == 404


def test_the_same_call_sid_in_two_businesses_is_two_calls(business: Business, client: Client) -> None:
    make_call(make_business(), call_sid="CA1", agent="theirs")
    make_call(business, call_sid="CA1", agent="ours")
    assert client.get("/api/calls/CA1/").json()["agent"] == "ours"


def test_an_operator_belongs_to_no_business() -> None:
    operator = User.objects.create_superuser("operator")
    client = Client(headers={"Authorization": f"Token {Token.objects.create(user=operator).key}"})
    for path in ("/api/calls/", "/api/calls/CA1/"):
        response = client.get(path)
        assert response.status_code == 403
        assert problem(response)["code"] == "not_a_member"


def test_with_and_without_a_slash_alike(business: Business, client: Client) -> None:
    call = make_call(business)
    assert client.get("/api/calls").json() == client.get("/api/calls/").json()
    assert client.get(f"/api/calls/{call.call_sid}").json() == client.get(f"/api/calls/{call.call_sid}/").json()


@pytest.mark.parametrize("count", [1, 10, 50])
def test_a_page_of_any_size_is_one_query_beyond_who_asks(
    business: Business, client: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(count):
        make_recording(business, ["missing", "queued", "downloading", "ready", "failed"][number % 5])
    with django_assert_num_queries(3):  # the token, the membership, the page
        assert len(sids(client.get("/api/calls/?limit=50"))) == count
    session = browser_of(make_member(business))
    with django_assert_num_queries(4):  # the session and its user in place of the token
        session.get("/api/calls/")
