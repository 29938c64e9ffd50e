"""GET recordings/{call_sid}/stream with `Prefer: wait=N`."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client, RequestFactory
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.request import Request

from calls.models import Business, CallLog
from calls.tests.factories import WAV, make_business, make_member, make_recording
from recordings.api.stream import wait_preferred
from recordings.models import Recording
from recordings.playback.lookout import Lookout, lookout
from recordings.playback.waiting import LongAnswers
from recordings.playback.waiting import wait as hold
from recordings.reasons import Reason
from recordings.results import Failed, Finished, Whole
from recordings.storage import default_storage
from recordings.tests.api import body_of, problem, program_of, storage  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def business() -> Business:
    return make_business()


@pytest.fixture
def client(business: Business) -> Client:
    return program_of(make_member(business))


@pytest.fixture
def beside() -> Iterator[Callable[..., Future[Any]]]:
    """Runs something in a thread of its own, as a web server does, and closes that thread's database connection."""

    def run(work: Callable[[], Any]) -> Any:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=32) as pool:
        yield lambda work: pool.submit(run, work)
    until(lambda: not lookouts())


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; pytest's own time limit is the end of patience."""
    while not condition():
        time.sleep(0.005)


def lookouts() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "recordings-lookout"]


def held(count: int = 1, where: Lookout = lookout) -> bool:
    return len(where._watches) == count


def play(client: Client, row: CallLog, wait: str) -> Any:
    return client.get(f"/api/recordings/{row.call_sid}/stream", headers={"Prefer": f"wait={wait}"})


def download(row: CallLog) -> None:
    """What a worker does, with its own verbs."""
    [claimed] = Recording.objects.start(1, worker="test")
    lease = (claimed.pk, claimed.recording_token)
    with default_storage().begin(*lease) as part:
        part.write(WAV)
        whole = Whole(part.commit(), len(WAV), part.sha256(), "audio/wav", 0.025, 1_700_000_000)
    assert Recording.objects.finish([Finished(lease, whole)]) == {lease}


def test_the_request_is_held_until_the_recording_is_ready_and_then_served(
    business: Business, client: Client, beside: Callable[..., Future[Any]]
) -> None:
    row = make_recording(business)
    answer = beside(lambda: play(client, row, "25"))
    until(held)
    download(row)
    response = answer.result()
    assert (response.status_code, body_of(response)) == (200, WAV)
    assert response["Preference-Applied"] == "wait=25"


def test_many_wait_with_one_thread_that_looks_and_it_stops_when_nobody_waits(
    business: Business, client: Client, beside: Callable[..., Future[Any]]
) -> None:
    row, other = make_recording(business, "queued"), make_recording(business, "queued")
    answers = [beside(lambda: play(client, row, "25")) for _ in range(10)]
    answers += [beside(lambda: play(client, other, "25")) for _ in range(5)]
    until(lambda: held(15))
    assert len(lookouts()) == 1
    for each in (row, other):
        download(each)
    assert {answer.result().status_code for answer in answers} == {200}
    assert [body_of(answer.result()) for answer in answers] == [WAV] * 15
    until(lambda: not lookouts())


def test_when_the_time_is_up_it_is_202_and_says_what_this_request_did(business: Business, client: Client) -> None:
    response = play(client, make_recording(business), "1")
    assert (response.status_code, response.json()["outcome"]) == (202, "enqueued")
    assert response["Preference-Applied"] == "wait=1"
    assert response["Retry-After"] == str(response.json()["retry_after"])


def test_a_failure_that_stays_ends_the_wait(
    business: Business, client: Client, beside: Callable[..., Future[Any]]
) -> None:
    row = make_recording(business)
    answer = beside(lambda: play(client, row, "25"))
    until(held)
    [claimed] = Recording.objects.start(1, worker="test")
    Recording.objects.fail([Failed((claimed.pk, claimed.recording_token), Reason.GONE, permanent=True)])
    assert problem(answer.result())["status"] == 410


def test_a_retry_that_comes_too_late_is_not_waited_for(business: Business, client: Client) -> None:
    row = make_recording(business, "failed", recording_next_retry_at=timezone.now() + timedelta(seconds=90))
    response = play(client, row, "25")
    assert (response.status_code, response.json()["retry_after"]) == (202, 60)


def test_without_a_free_place_it_is_202_at_once(
    business: Business, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = LongAnswers(1)
    monkeypatch.setattr("recordings.api.stream.long_answers", lambda: places)
    row = make_recording(business)
    with places.place(business.pk) as taken:
        assert taken
        response = play(client, row, "25")
    assert (response.status_code, response.json()["outcome"]) == (202, "enqueued")
    assert "Preference-Applied" not in response
    assert play(client, row, "1")["Preference-Applied"] == "wait=1"


@pytest.mark.parametrize("query", ["?v=3e8-2800", "?live=1&v=3e8-2800"])
def test_another_content_than_the_one_wanted_is_refused_also_after_a_wait(
    business: Business, client: Client, beside: Callable[..., Future[Any]], query: str
) -> None:
    row = make_recording(business)
    headers = {"Prefer": "wait=25", "Range": "bytes=5-"}
    answer = beside(lambda: client.get(f"/api/recordings/{row.call_sid}/stream{query}", headers=headers))
    until(lambda: held() and Recording.objects.waiting().exists())
    download(row)
    assert problem(answer.result())["code"] == "version_changed"


def test_a_recording_that_goes_away_while_it_is_waited_for_is_404(
    business: Business, client: Client, beside: Callable[..., Future[Any]]
) -> None:
    row = make_recording(business)
    answer = beside(lambda: play(client, row, "25"))
    until(held)
    CallLog.objects.filter(pk=row.pk).delete()
    assert problem(answer.result())["status"] == 404


def test_whoever_waits_holds_no_database_connection(business: Business, beside: Callable[..., Future[Any]]) -> None:
    row, mine, connections = make_recording(business, "queued"), Lookout(), []

    def wait() -> None:
        CallLog.objects.exists()
        connections.append(connection.connection)
        hold(row, 25, mine)
        connections.append(connection.connection)

    waiting = beside(wait)
    until(lambda: held(where=mine))
    CallLog.objects.filter(pk=row.pk).delete()
    waiting.result()
    assert connections[0] is not None
    # Django keeps a database in memory open, since closing it would be the end of it.
    in_memory = getattr(connection, "is_in_memory_db", lambda: False)()
    assert connections[1] is (connections[0] if in_memory else None)


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10), ("WAIT=10", 10), ("respond-async, wait=10", 10), ("wait = 10", 10), ('wait="10"', 10),
        ("wait=10; foo=bar", 10), ("wait=10, wait=20", 10), ("wait=100", 25), ("wait=0", 0), ("wait", 0), ("wait=", 0),
        ("wait=-1", 0), ("wait=1.5", 0), ("wait=٣", 0), ("wait=x, respond-async", 0), ("", 0), ("await=10", 0),
        ("wait=" + "9" * 5000, 0),
    ],
)  # fmt: skip
def test_the_preference_is_read_as_rfc_7240_says_and_ignored_where_it_makes_no_sense(prefer: str, seconds: int) -> None:
    assert wait_preferred(Request(RequestFactory().get("/", headers={"Prefer": prefer}))) == seconds


@given(st.text(alphabet='wait=0123456789,;" \té'))
def test_no_preference_holds_a_request_longer_than_25_s(prefer: str) -> None:
    assert 0 <= wait_preferred(Request(RequestFactory().get("/", headers={"Prefer": prefer}))) <= 25


def test_one_business_leaves_places_for_the_others_and_gives_back_what_it_had() -> None:
    places = LongAnswers(16, for_resumes=2, for_others=4)
    with ExitStack() as stack:
        assert [stack.enter_context(places.place(1)) for _ in range(13)] == [True] * 12 + [False]
        assert [stack.enter_context(places.place(1, resumes=True)) for _ in range(2)] == [True, False]
        assert [stack.enter_context(places.place(2)) for _ in range(2)] == [True, False], "two are for resumes"
        assert [stack.enter_context(places.place(2, resumes=True)) for _ in range(3)] == [True, True, False]
    with places.place(1) as taken:
        assert taken
    assert (places._free, places._held) == (16, {})
