"""GET recordings/{call_sid}/stream."""

import logging
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from calls.models import PRIORITY_CLICK, Business
from calls.tests.factories import NOON, WAV, file_of, make_business, make_call, make_member, make_ready, make_recording
from recordings.models import Recording
from recordings.reasons import GONE_FOR_GOOD, PERMANENT
from recordings.tests.api import body_of, browser_of, problem, program_of, storage  # noqa: F401  (a fixture)
from recordings.tests.rows import bells, world

pytestmark = pytest.mark.django_db
AUDIO = "audio/*;q=0.9, */*;q=0.1"


@pytest.fixture
def business() -> Business:
    return make_business(timezone="Asia/Jerusalem")


@pytest.fixture
def client(business: Business) -> Client:
    return program_of(make_member(business))


def stream(client: Client, row: Recording, **headers: str) -> Any:
    return client.get(url(row), headers={name.replace("_", "-"): value for name, value in headers.items()})


def url(row: Recording) -> str:
    return f"/api/recordings/{row.call_sid}/stream"


def waits(response: Any, outcome: str, status: str) -> dict[str, Any]:
    """The payload of a 202, whose headers must say the same."""
    assert response.status_code == 202, response.content
    body: dict[str, Any] = response.json()
    assert (body["outcome"], body["status"]) == (outcome, status)
    assert response["Location"] == f"/api/recordings/{body['call_sid']}/status"
    assert response["Retry-After"] == str(body["retry_after"])
    assert 1 <= body["retry_after"] <= 60
    assert response["Cache-Control"] == "no-store"
    return body


# --- ready


def test_a_ready_recording_is_served_whole_with_its_type_name_and_version(business: Business, client: Client) -> None:
    row = make_ready(business, from_number="+972 54/123", to_number="<x>é..", started_at=NOON)
    response = stream(client, row, Accept=AUDIO)
    assert (response.status_code, body_of(response)) == (200, WAV)
    assert response["Content-Type"] == "audio/wav"
    assert response["Content-Length"] == str(len(WAV))
    assert response["Cache-Control"] == "private, no-cache"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert 'filename="2026-11-23_1200_+97254123_x.wav"' in response["Content-Disposition"]
    found = file_of(row).stat()
    assert response["ETag"] == f'"{int(found.st_mtime):x}-{found.st_size:x}"'


def test_a_range_of_it_is_206_and_one_beyond_its_end_a_416_that_says_how_long_it_is(
    business: Business, client: Client
) -> None:
    row = make_ready(business)
    part = stream(client, row, Range="bytes=4-7")
    assert (part.status_code, body_of(part), part["Content-Range"]) == (206, WAV[4:8], f"bytes 4-7/{len(WAV)}")
    beyond = stream(client, row, Range="bytes=9999-")
    assert (beyond.status_code, beyond["Content-Range"]) == (416, f"bytes */{len(WAV)}")
    assert problem(beyond)["code"] == "range_not_satisfiable"
    assert stream(client, row, If_None_Match=part["ETag"]).status_code == 304
    assert body_of(stream(client, row, Range="bytes=4-7", If_Range='"another"')) == WAV
    assert body_of(stream(client, row, Range="bytes=four")) == WAV


def test_its_head_has_the_length_and_no_body(business: Business, client: Client) -> None:
    response = client.head(url(make_ready(business)))
    assert (response.status_code, response["Content-Length"], body_of(response)) == (200, str(len(WAV)), b"")


@pytest.mark.django_db(transaction=True)
def test_a_connection_of_a_pool_is_given_back_before_the_body_is_sent(business: Business, client: Client) -> None:
    row = make_ready(business)
    connection.close_at = 0  # as where CONN_MAX_AGE is 0: good for this request only
    response = stream(client, row)
    assert connection.connection is None
    assert body_of(response) == WAV


def test_playing_it_writes_nothing_logs_nothing_and_is_one_query(
    business: Business,
    client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
    caplog: pytest.LogCaptureFixture,
) -> None:
    row = make_ready(business)
    before = world()
    with caplog.at_level(logging.DEBUG), django_assert_num_queries(1):
        body_of(stream(client, row, Range="bytes=0-"))
    assert world() == before
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO] == []


# --- not here yet


def test_a_missing_one_is_queued_once_and_under_way_for_all_who_ask_then(business: Business, client: Client) -> None:
    row = make_recording(business)
    waits(stream(client, row, Accept=AUDIO), "enqueued", "queued")
    for _ in range(3):
        waits(stream(client, row), "under_way", "queued")
    row.refresh_from_db()
    assert row.recording_priority == PRIORITY_CLICK
    assert bells() == 1


def test_a_recording_that_waits_behind_a_backfill_is_promoted(business: Business, client: Client) -> None:
    row = make_recording(business, "queued")
    waits(stream(client, row), "under_way", "queued")
    row.refresh_from_db()
    assert row.recording_priority == PRIORITY_CLICK
    assert bells() == 0


def test_one_that_is_downloading_tells_how_far_it_is(business: Business, client: Client) -> None:
    row = make_recording(business, "downloading", recording_bytes_total=1000)
    body = waits(stream(client, row), "under_way", "downloading")
    assert (body["bytes_done"], body["bytes_total"]) == (0, 1000)


def test_one_that_cools_down_is_not_queued_again(business: Business, client: Client) -> None:
    row = make_recording(business, recording_last_enqueue_at=timezone.now() - timedelta(seconds=10))
    body = waits(stream(client, row), "cooling_down", "missing")
    assert body["retry_after"] in {49, 50}
    assert bells() == 0


def test_one_that_backs_off_is_left_alone_until_its_retry_is_due(business: Business, client: Client) -> None:
    row = make_recording(business, "failed", recording_next_retry_at=timezone.now() + timedelta(seconds=30))
    assert waits(stream(client, row), "backing_off", "failed")["retry_after"] in {29, 30}
    assert bells() == 0
    Recording.objects.filter(pk=row.pk).update(recording_next_retry_at=timezone.now() - timedelta(seconds=1))
    waits(stream(client, row), "enqueued", "queued")


# --- never


@pytest.mark.parametrize("reason", sorted(PERMANENT))
@pytest.mark.parametrize("method", ["get", "head"])
def test_a_permanent_failure_is_410_where_the_audio_is_gone_and_409_elsewhere(
    business: Business, client: Client, reason: str, method: str
) -> None:
    row = make_recording(business, "failed", recording_reason=reason)
    response = getattr(client, method)(url(row))
    assert response.status_code == (410 if reason in GONE_FOR_GOOD else 409)
    if method == "get":
        document = problem(response)
        assert (document["recording"]["reason"], document["recording"]["outcome"]) == (reason, "failed")
        assert document["detail"] == document["recording"]["message"]
    assert bells() == 0


def test_an_exhausted_one_is_409(business: Business, client: Client) -> None:
    row = make_recording(business, "failed", recording_fail_count=5)
    assert problem(stream(client, row))["code"] == "recording_failed"
    assert stream(client, row).status_code == 409


def test_what_is_not_ours_or_has_no_recording_is_404(business: Business, client: Client) -> None:
    theirs = make_ready(make_business())
    for sid in (theirs.call_sid, make_call(business).call_sid, "CAnone"):
        assert problem(client.get(f"/api/recordings/{sid}/stream"))["status"] == 404


# --- the file is the truth


@pytest.mark.parametrize("harm", ["gone", "short", "long"])
def test_a_ready_one_whose_file_is_not_there_or_not_whole_is_put_right_and_queued_once(
    business: Business, client: Client, harm: str
) -> None:
    row = make_ready(business)
    path = file_of(row)
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(WAV[:-1] if harm == "short" else WAV + b"x")
    waits(stream(client, row), "enqueued", "queued")
    waits(stream(client, row), "under_way", "queued")
    assert bells() == 1


def test_a_file_lost_within_a_minute_of_its_download_cools_down_first(business: Business, client: Client) -> None:
    row = make_ready(business, recording_ready_at=timezone.now() - timedelta(seconds=5))
    file_of(row).unlink()
    assert waits(stream(client, row), "cooling_down", "missing")["retry_after"] > 50
    assert bells() == 0


def test_a_name_that_is_not_of_our_making_is_a_lost_file(business: Business, client: Client) -> None:
    row = make_ready(business, recording_file="../../etc/passwd")
    waits(stream(client, row), "enqueued", "queued")


def test_storage_that_is_away_is_503_and_nothing_is_believed_lost(
    business: Business, client: Client, storage: Path  # noqa: F811
) -> None:  # fmt: skip
    row = make_ready(business)
    shutil.rmtree(storage)
    before = world()
    response = stream(client, row)
    assert (response.status_code, problem(response)["code"]) == (503, "storage_away")
    assert response["Retry-After"] == "10"
    assert world() == before


# --- who may start a download

GUESSES = [
    {"Sec-Purpose": "prefetch"}, {"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "Prefetch"}, {"X-Moz": "prefetch"},
]  # fmt: skip


@pytest.mark.parametrize("headers", GUESSES)
@pytest.mark.parametrize("status", ["missing", "queued", "downloading", "failed", "ready"])
def test_a_prefetch_starts_nothing_and_writes_nothing(
    business: Business, client: Client, status: str, headers: dict[str, str]
) -> None:
    more = {"recording_next_retry_at": NOON - timedelta(days=365)} if status == "failed" else {}
    row = make_ready(business) if status == "ready" else make_recording(business, status, **more)
    if status == "ready":
        file_of(row).unlink()
    before = world()
    response = client.get(url(row), headers=headers)
    expected = {"queued": "under_way", "downloading": "under_way"}.get(status, "not_started")
    waits(response, expected, {"ready": "missing"}.get(status, status))
    assert world() == before


@pytest.mark.parametrize("status", ["missing", "queued", "downloading", "failed", "ready"])
def test_a_head_starts_nothing_and_writes_nothing(business: Business, client: Client, status: str) -> None:
    row = make_recording(business, status, **({"recording_next_retry_at": NOON} if status == "failed" else {}))
    before = world()
    response = client.head(url(row))
    assert response.status_code == 202
    assert response["Location"].endswith("/status")
    assert "Retry-After" in response
    assert world() == before


@pytest.mark.parametrize(
    ("site", "starts"),
    [(None, True), ("same-origin", True), ("same-site", True), ("none", True), ("cross-site", False), ("odd", False)],
)
def test_a_session_starts_a_download_unless_another_site_caused_it(
    business: Business, site: str | None, starts: bool
) -> None:
    row = make_recording(business)
    before = world()
    browser = browser_of(make_member(business))
    response = browser.get(url(row), headers={} if site is None else {"Sec-Fetch-Site": site})
    waits(response, *(("enqueued", "queued") if starts else ("not_started", "missing")))
    assert (world() == before) is not starts


def test_a_token_starts_a_download_from_anywhere(business: Business, client: Client) -> None:
    waits(stream(client, make_recording(business), Sec_Fetch_Site="cross-site"), "enqueued", "queued")


def test_with_and_without_a_slash_alike(business: Business, client: Client) -> None:
    row = make_ready(business)
    assert body_of(client.get(url(row) + "/")) == WAV
