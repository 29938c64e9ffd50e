"""GET recordings/{call_sid}/status and recordings/status?ids=…"""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from rest_framework.authtoken.models import Token

from calls.models import Business
from calls.tests.factories import make_business, make_call, make_member, make_ready, make_recording
from recordings.tests.api import problem, program_of, storage  # noqa: F401  (a fixture)
from recordings.tests.rows import world

pytestmark = pytest.mark.django_db
STATUSES = ["missing", "queued", "downloading", "ready", "failed"]


@pytest.fixture
def business() -> Business:
    return make_business()


@pytest.fixture
def client(business: Business) -> Client:
    return program_of(make_member(business))


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("method", ["get", "head"])
def test_a_status_is_read_in_one_query_beyond_who_asks_and_changes_nothing(
    business: Business, client: Client, status: str, method: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    row = make_recording(business, status)
    before = world()
    with django_assert_num_queries(2):  # the token with its user; the row
        response = getattr(client, method)(f"/api/recordings/{row.call_sid}/status")
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    if method == "get":
        assert (response.json()["status"], response.json()["outcome"]) == (status, None)
    assert world() == before


def test_the_queue_ahead_tells_when_to_ask_again(business: Business, client: Client) -> None:
    row = make_recording(business, "queued", recording_priority=1)
    assert client.get(f"/api/recordings/{row.call_sid}/status/").json()["retry_after"] == 2


def test_what_is_not_ours_or_not_there_is_404_and_a_call_without_a_recording_too(
    business: Business, client: Client
) -> None:
    theirs = make_recording(make_business())
    for sid in (theirs.call_sid, make_call(business).call_sid, "CAnone", "status"):
        assert problem(client.get(f"/api/recordings/{sid}/status"))["code"] == "not_found"


def test_many_are_read_in_one_query_in_the_order_asked(
    business: Business, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    rows = [make_recording(business, status).call_sid for status in STATUSES * 20]
    before = world()
    for asked in (rows[:10], rows[::-1]):
        with django_assert_num_queries(2):
            response = client.get("/api/recordings/status", {"ids": ",".join(asked)})
        assert list(response.json()["results"]) == asked
        assert response.json()["not_found"] == []
        assert response["Cache-Control"] == "no-store"
    assert world() == before


def test_those_not_found_are_listed(business: Business, client: Client) -> None:
    ours, theirs, silent = make_ready(business), make_recording(make_business()), make_call(business)
    ids = [theirs.call_sid, ours.call_sid, "CAnone", silent.call_sid, ours.call_sid, ""]
    body = client.get("/api/recordings/status/", {"ids": ",".join(ids)}).json()
    assert list(body["results"]) == [ours.call_sid]
    assert body["not_found"] == [theirs.call_sid, "CAnone", silent.call_sid]


def test_more_than_a_hundred_are_too_many(client: Client) -> None:
    hundred = [f"CA{number}" for number in range(100)]
    assert len(client.get("/api/recordings/status", {"ids": ",".join(hundred)}).json()["not_found"]) == 100
    document = problem(client.get("/api/recordings/status", {"ids": ",".join([*hundred, "one-more"])}))
    assert (document["status"], document["code"]) == (400, "too_many_ids")
    assert document["errors"][0]["parameter"] == "ids"


@pytest.mark.parametrize("ids", [None, "", ",", " , ", "a b", "a\x00", "x" * 65, "עברית", "a/b"])
def test_ids_that_make_no_sense_are_refused(client: Client, ids: str | None) -> None:
    document = problem(client.get("/api/recordings/status", {} if ids is None else {"ids": ids}))
    assert (document["status"], document["code"]) == (400, "invalid_parameter")
    assert document["errors"][0]["parameter"] == "ids"


def test_an_operator_belongs_to_no_business(business: Business) -> None:
    row = make_recording(business)
    operator = User.objects.create_superuser("operator")
    client = Client(headers={"Authorization": f"Token {Token.objects.create(user=operator).key}"})
    for path in (f"/api/recordings/{row.call_sid}/status", f"/api/recordings/status?ids={row.call_sid}"):
        response = client.get(path)
        assert response.status_code == 403
        assert problem(response)["code"] == "not_a_member"
