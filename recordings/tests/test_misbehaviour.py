"""Whatever the provider does: never ready with wrong bytes, and a failure's reason is the right one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from calls.models import CallLog
from demo.misbehaviour import TABLE
from demo.provider import Provider
from recordings.attempts import Attempt
from recordings.download import worker
from recordings.models import Recording
from recordings.reasons import PERMANENT
from recordings.storage import default_storage
from recordings.tests.downloads import business_of, provider_and_storage, waiting
from recordings.tests.outcomes import OUTCOMES, READY
from recordings.tests.transitions import Witness

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    # A deadline that a slow machine's good answers meet, and limits that the endless ones reach soon.
    with provider_and_storage(
        tmp_path, RECORDINGS_SLOTS=64, RECORDINGS_DEADLINE=4, RECORDINGS_READ_TIMEOUT=2, RECORDINGS_MAX_BYTES=3_000_000
    ) as provider:
        worker._crew.cache_clear()
        yield provider
        provider.open_gate()
        worker._crew.cache_clear()


def test_every_misbehaviour_has_its_outcome_in_this_table() -> None:
    assert set(OUTCOMES) == set(TABLE)


def test_every_misbehaviour_ends_with_the_right_reason_and_never_with_wrong_bytes(
    provider: Provider, witness: Witness
) -> None:
    rows = {}
    provider.open_gate()
    for name in OUTCOMES:
        # A business each: one account's refusal or pause must not decide another's outcome.
        rows[name] = waiting(business_of(provider), provider, f"hello-{name}", started_at=timezone.now())

    worker.drain()

    seen = {}
    for name, row in rows.items():
        row.refresh_from_db()
        status = row.recording_download_status
        seen[name] = status if status == READY else row.recording_reason
        if status == READY:
            right = provider.audio(row.recording_url or "").sha256
            stored = default_storage().path(row.recording_file).read_bytes()
            assert row.recording_sha256 == right, name
            assert len(stored) == row.recording_bytes, name
        else:
            assert status == "failed", name
            assert row.recording_permanent is (row.recording_reason in PERMANENT), name
            left = default_storage().files_of(row.pk)  # a part at most, for another try to go on from
            assert [file for file in left if not file.is_part] == [], f"{name} left a file"
    assert seen == {name: str(outcome) for name, outcome in OUTCOMES.items()}


def test_a_404_long_after_the_call_is_for_good(provider: Provider) -> None:
    row = waiting(business_of(provider), provider, "hello-absent", started_at=timezone.now() - timedelta(minutes=15))
    worker.drain()
    row.refresh_from_db()
    assert (row.recording_reason, row.recording_permanent) == ("absent", True)


def test_a_transient_failure_is_tried_again_after_5_10_30_and_90_seconds_and_then_no_more(provider: Provider) -> None:
    row = waiting(business_of(provider), provider, "hello-error-500")
    waits = []
    for _ in range(5):
        worker.drain()
        attempt = Attempt.objects.order_by("pk").last()
        assert attempt is not None
        assert attempt.ended_at is not None
        at = attempt.next_retry_at
        waits.append(at and round((at - attempt.ended_at).total_seconds(), 1))
        CallLog.objects.filter(pk=row.pk, recording_next_retry_at__isnull=False).update(
            recording_next_retry_at=timezone.now() - timedelta(seconds=1)
        )
        Recording.objects.retry_due()
    assert waits == [5.0, 10.0, 30.0, 90.0, None]
    row.refresh_from_db()
    assert (row.recording_download_status, row.recording_fail_count) == ("failed", 5)
    assert not row.recording_permanent


def test_404_then_200_becomes_ready_by_itself(provider: Provider) -> None:
    row = waiting(business_of(provider), provider, "hello-not-yet", started_at=timezone.now())
    for _ in range(3):
        worker.drain()
        CallLog.objects.filter(pk=row.pk, recording_next_retry_at__isnull=False).update(
            recording_next_retry_at=timezone.now() - timedelta(seconds=1)
        )
        Recording.objects.retry_due()
    row.refresh_from_db()
    assert (row.recording_download_status, row.recording_fail_count) == ("ready", 0)
    assert provider.count("hello-not-yet").requests == 3
