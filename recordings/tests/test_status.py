"""recordings/status.py: the payload."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone, translation
from pytest_django import DjangoAssertNumQueries, Settings

from calls.models import PRIORITY_BULK, PRIORITY_CLICK, Business
from calls.tests.factories import make_business, make_call, make_ready, make_recording
from recordings.lifecycle import Answer
from recordings.models import Recording
from recordings.reasons import GONE_FOR_GOOD, PERMANENT, Reason
from recordings.serializers import PayloadSerializer
from recordings.status import payload, with_queue_ahead, words
from recordings.storage import default_storage
from recordings.tests.api import storage  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db
STATUSES = ["missing", "queued", "downloading", "ready", "failed"]


@pytest.fixture
def business() -> Business:
    return make_business()


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    with translation.override("en"):
        yield


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


@pytest.mark.parametrize("status", STATUSES)
def test_every_payload_has_the_members_of_the_contract_and_is_json(business: Business, status: str) -> None:
    body = payload(make_recording(business, status))
    assert list(body) == [
        "call_sid", "recording_sid", "status", "playable", "outcome", "updated_at", "retry_after", "message", "reason",
        "permanent", "fail_count", "next_retry_at", "bytes_done", "bytes_total", "duration", "content_type",
        "version",
    ]  # fmt: skip
    assert json.loads(json.dumps(body)) == body
    assert body["status"] == status
    assert body["playable"] is (status == "ready")
    assert body["outcome"] is None
    assert body["updated_at"].endswith("Z")


def test_the_schema_names_the_same_members(business: Business) -> None:
    assert list(PayloadSerializer().fields) == list(payload(make_recording(business)))


def test_a_ready_one_says_what_it_is(business: Business) -> None:
    body = payload(make_ready(business))
    assert (body["bytes_done"], body["bytes_total"]) == (444, 444)
    assert (body["content_type"], body["duration"], body["reason"]) == ("audio/wav", 0.025, None)


@pytest.mark.parametrize("status", ["missing", "ready", "failed"])
def test_asking_again_is_pointless_where_nothing_is_going_to_happen(business: Business, status: str) -> None:
    assert payload(make_recording(business, status))["retry_after"] is None


@pytest.mark.parametrize("reason", sorted(PERMANENT))
def test_asking_again_is_pointless_after_a_permanent_failure(business: Business, reason: Reason) -> None:
    body = payload(make_recording(business, "failed", recording_reason=reason), Answer.FAILED)
    assert (body["retry_after"], body["permanent"], body["reason"]) == (None, True, reason.value)
    assert ("manager" in body["message"]) is (reason not in GONE_FOR_GOOD)


@pytest.mark.parametrize(("seconds", "expected"), [(4.5, {4, 5}), (300, {60}), (-20, {1})])
def test_a_failed_one_is_worth_asking_when_its_retry_is_due(
    business: Business, seconds: float, expected: set[int]
) -> None:
    body = payload(make_recording(business, "failed", recording_next_retry_at=ago(-seconds)))
    assert body["retry_after"] in expected
    assert body["next_retry_at"].endswith("Z")


@pytest.mark.parametrize(("seconds", "words"), [
    (-20, "within a minute"), (5, "within a minute"), (59, "within a minute"), (90, "in about 2 minutes"),
    (880, "in about 15 minutes"),
])  # fmt: skip
def test_a_failed_one_says_when_it_is_tried_again(business: Business, seconds: float, words: str) -> None:
    row = make_recording(business, "failed", recording_reason=Reason.STALLED, recording_next_retry_at=ago(-seconds))
    assert payload(row)["message"] == f"The download took too long. We will try again {words}."


def test_one_that_cools_down_is_worth_asking_when_it_has_cooled(business: Business) -> None:
    row = make_recording(business, recording_last_enqueue_at=ago(20))
    assert payload(row, Answer.COOLING_DOWN)["retry_after"] in {39, 40}
    assert payload(row)["retry_after"] is None
    assert payload(row, Answer.NOT_STARTED)["retry_after"] == 1


def downloading(business: Business, *, here: int, total: int | None, took: float) -> Recording:
    token = uuid4().hex
    row = make_recording(
        business, "downloading", recording_token=token, recording_started_at=ago(took), recording_bytes_total=total
    )
    if here:
        with default_storage().begin(row.pk, token) as part:
            part.write(bytes(here))
    return row


@pytest.mark.parametrize(
    ("here", "total", "took", "expected"),
    [
        (1000, 4000, 10, {30, 31}),  # 100 bytes a second, 3,000 to come
        (3999, 4000, 10, {1}),
        (1, 10**9, 10, {60}),
        (0, None, 1, {1}),
        (0, None, 20, {10, 11}),
        (500, None, 20, {10, 11}),
        (4000, 1000, 10, {1}),  # more than was announced
    ],
)
def test_a_download_is_worth_asking_for_when_its_speed_says_so(
    business: Business, here: int, total: int | None, took: float, expected: set[int]
) -> None:
    body = payload(downloading(business, here=here, total=total, took=took))
    assert body["retry_after"] in expected
    assert (body["bytes_done"], body["bytes_total"]) == (here, total)


def test_the_queue_ahead_is_counted_in_the_query_that_reads_the_row(
    business: Business, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        make_recording(
            business, "queued", recording_priority=PRIORITY_CLICK, recording_last_enqueue_at=ago(60 - number)
        )
        make_recording(business, "queued", recording_priority=PRIORITY_BULK, recording_last_enqueue_at=ago(60 - number))
    first, last = Recording.objects.filter(recording_priority=PRIORITY_CLICK).order_by("pk")[:5:4]
    with django_assert_num_queries(1):
        ahead = {row.pk: row.queue_ahead for row in with_queue_ahead(Recording.objects.all())}
    assert (ahead[first.pk], ahead[last.pk]) == (0, 4)
    assert {ahead[row.pk] for row in Recording.objects.filter(recording_priority=PRIORITY_BULK)} == {None}


def test_a_longer_queue_means_a_later_answer(business: Business, settings: Settings) -> None:
    settings.RECORDINGS_SLOTS = 64
    row: Any = make_recording(business, "queued")
    waits = []
    for row.queue_ahead in (0, 640, 6400):
        waits.append(payload(row)["retry_after"])
    assert waits == [2, 22, 60]


def test_one_of_a_list_is_judged_by_how_long_it_has_waited(business: Business) -> None:
    assert payload(make_recording(business, "queued"))["retry_after"] == 2
    assert payload(make_recording(business, "queued", recording_last_enqueue_at=ago(30)))["retry_after"] in {15, 16}


def test_every_state_has_a_label_and_a_sentence(business: Business) -> None:
    rows = [make_call(business), *(make_recording(business, status) for status in STATUSES)]
    rows += [make_recording(business, "failed", recording_reason=reason) for reason in Reason]
    rows.append(make_recording(business, "failed", recording_next_retry_at=ago(-5)))
    rows.append(make_recording(business, "failed", recording_reason="of another version"))
    for row in rows:
        label, sentence = words(row)
        assert label
        assert sentence.endswith(".")
    assert len({words(row) for row in rows}) > len(Reason) + 5


def test_what_has_its_final_name_before_its_row_says_so_is_all_here(business: Business) -> None:
    row = downloading(business, here=4000, total=4000, took=1)
    part = default_storage().path(f"{row.pk}/{row.recording_token}.part")
    part.rename(part.with_suffix(""))
    assert payload(row)["bytes_done"] == 4000


def test_a_payload_makes_no_query(business: Business, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    rows = [make_recording(business, status) for status in STATUSES]
    with django_assert_num_queries(0):
        for row in rows:
            payload(row)


def test_storage_that_is_away_does_not_matter_to_a_payload(business: Business, settings: Any) -> None:
    row = make_recording(business, "downloading")
    settings.RECORDINGS_ROOT = settings.RECORDINGS_ROOT / "away"
    assert payload(row)["bytes_done"] == 0
