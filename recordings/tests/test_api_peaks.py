"""GET recordings/{call_sid}/peaks"""

import os
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from calls.models import Business
from calls.tests.factories import file_of, make_business, make_call, make_member, make_ready, make_recording
from recordings import sidecar
from recordings.models import Recording
from recordings.storage import MARKER
from recordings.tests.api import browser_of, problem, program_of, storage  # noqa: F401  (a fixture)
from recordings.tests.rows import world

pytestmark = pytest.mark.django_db
PEAKS = b'{"duration":0.025,"lanes":[[0,7,100],[50,0,0]]}'
MODIFIED = 0x65F1A2B3
ETAG = f'"65f1a2b3-{len(PEAKS):x}"'
LAST_MODIFIED = "Wed, 13 Mar 2024 12:57:23 GMT"


@pytest.fixture
def business() -> Business:
    return make_business()


@pytest.fixture
def client(business: Business) -> Client:
    return program_of(make_member(business))


@pytest.fixture
def row(business: Business) -> Recording:
    return with_peaks(business)


def with_peaks(business: Business) -> Recording:
    made = make_ready(business)
    sidecar.keep(file_of(made), PEAKS)
    os.utime(f"{file_of(made)}.peaks", (MODIFIED, MODIFIED + 0.75))
    return made


def address(row: Recording) -> str:
    return f"/api/recordings/{row.call_sid}/peaks"


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_waveform_is_sent_in_one_query_beyond_who_asks_and_changes_nothing(
    row: Recording, client: Client, slash: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    before = world()
    with django_assert_num_queries(2):  # the token with its user; the row
        response = client.get(address(row) + slash)
    assert response.status_code == 200
    assert response.json() == {"duration": 0.025, "lanes": [[0, 7, 100], [50, 0, 0]]}
    assert response["Content-Type"] == "application/json"
    assert (response["ETag"], response["Last-Modified"]) == (ETAG, LAST_MODIFIED)
    assert response["Cache-Control"] == "private, no-cache"
    assert response["Content-Length"] == str(len(PEAKS))
    assert world() == before


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("If-None-Match", ETAG, 304),
        ("If-None-Match", f'"other", W/{ETAG}', 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"other"', 200),
        ("If-Modified-Since", LAST_MODIFIED, 304),
        ("If-Modified-Since", "Wed, 13 Mar 2024 12:57:22 GMT", 200),
    ],
)
@pytest.mark.parametrize("method", ["get", "head"])
def test_who_has_it_already_is_told_so(
    row: Recording, client: Client, method: str, header: str, value: str, status: int
) -> None:
    response = getattr(client, method)(address(row), headers={header: value})
    assert response.status_code == status
    assert (response["ETag"], response["Last-Modified"]) == (ETAG, LAST_MODIFIED)
    assert response["Cache-Control"] == "private, no-cache"
    assert response.content == (PEAKS if (status, method) == (200, "get") else b"")


def test_head_says_what_get_would(row: Recording, client: Client) -> None:
    got, headed = client.get(address(row)), client.head(address(row))
    for name in ("Content-Type", "Content-Length", "ETag", "Last-Modified", "Cache-Control"):
        assert headed[name] == got[name]
    assert headed.content == b""


def test_a_session_may_read_it_too(row: Recording, business: Business) -> None:
    assert browser_of(make_member(business)).get(address(row)).content == PEAKS


def test_another_business_s_is_not_there(client: Client) -> None:
    theirs = with_peaks(make_business())
    assert problem(client.get(address(theirs)))["code"] == "not_found"


def test_a_call_without_a_recording_and_no_call_are_not_there(business: Business, client: Client) -> None:
    for sid in (make_call(business).call_sid, "CAnone"):
        assert problem(client.get(f"/api/recordings/{sid}/peaks"))["code"] == "not_found"


def test_nobody_reads_it_without_a_login(row: Recording) -> None:
    assert problem(Client().get(address(row)))["status"] == 401


@pytest.mark.parametrize("status", ["missing", "queued", "downloading", "failed"])
def test_what_is_not_ready_has_none_and_nothing_is_started(business: Business, client: Client, status: str) -> None:
    row = make_recording(business, status)
    before = world()
    document = problem(client.get(address(row)))
    assert (document["status"], document["code"]) == (404, "no_peaks")
    assert "not ready" in document["detail"]
    assert world() == before


@pytest.mark.parametrize("content", [None, b"", PEAKS[:20]])
def test_a_recording_without_a_whole_waveform_says_so(
    business: Business, client: Client, content: bytes | None
) -> None:
    row = make_ready(business)
    if content is not None:
        sidecar.keep(file_of(row), content)
    document = problem(client.get(address(row)))
    assert (document["status"], document["code"]) == (404, "no_peaks")
    assert "not ready" not in document["detail"]


def test_storage_that_is_away_is_503(row: Recording, client: Client, storage: Path) -> None:  # noqa: F811
    (storage / MARKER).rename(storage / "elsewhere")
    (storage / str(row.pk)).rename(storage / "gone")
    response = client.get(address(row))
    assert problem(response)["code"] == "storage_away"
    assert (response.status_code, response["Retry-After"]) == (503, "10")
