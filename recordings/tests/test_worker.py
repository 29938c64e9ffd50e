"""The drain: what waits is downloaded, once, clicks first; what it may not finish it gives back."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from calls.clock import now
from calls.models import PRIORITY_CLICK, CallLog
from calls.tests.factories import make_business, make_recording
from demo.provider import Provider
from demo.service import wait_until
from recordings import bell
from recordings.attempts import Attempt, Outcome
from recordings.download import stopping, worker
from recordings.download.adopting import sha256
from recordings.download.places import Lock
from recordings.models import ProviderAccount, Recording
from recordings.results import digest
from recordings.storage import default_storage
from recordings.tests.downloads import business_of, provider_and_storage, waiting
from recordings.tests.transitions import Witness

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with provider_and_storage(tmp_path, RECORDINGS_SLOTS=4) as provider:
        worker._crew.cache_clear()  # its storage and its slots are the settings'
        yield provider
        provider.open_gate()
        worker._crew.cache_clear()
    stopping.forget()


def drain_beside() -> threading.Thread:
    """A drain in a thread with a connection of its own, as another process would have."""

    def work() -> None:
        from django.db import connection

        try:
            worker.drain(worker.new_crew())
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_everything_that_waits_is_downloaded_once_with_the_providers_bytes(
    provider: Provider, witness: Witness
) -> None:
    business = business_of(provider)
    rows = [waiting(business, provider, f"bulk-{number:06}") for number in range(20)]

    assert worker.drain() == 20

    for number, row in enumerate(rows):
        row.refresh_from_db()
        audio = provider.audio(row.recording_url or "")
        assert row.recording_download_status == "ready"
        assert sha256(default_storage(), row.recording_file) == row.recording_sha256 == audio.sha256
        assert row.recording_bytes == len(audio.body)
        assert row.recording_content_type == "audio/wav"
        assert provider.count(f"bulk-{number:06}").requests == 1
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {Outcome.READY}


def test_a_click_is_downloaded_before_what_waited_longer(provider: Provider) -> None:
    business = business_of(provider)
    for number in range(12):
        waiting(business, provider, f"bulk-{number:06}")
    waiting(business, provider, "hello", recording_priority=PRIORITY_CLICK)

    worker.drain()

    order = [seen.recording for seen in provider.log()]
    assert "hello" in order[:4]  # the first claim has four slots


def test_a_quarter_of_the_slots_is_kept_for_clicks(provider: Provider) -> None:
    business = business_of(provider)
    for number in range(6):
        waiting(business, provider, f"bulk-{number:06}")
    provider.misbehave("*", "gate-start")
    thread = drain_beside()
    provider.counts.wait(lambda: len(provider.log()) >= 3, 10)

    click = make_recording(business, "queued", recording_url=provider.url("hello"), recording_priority=PRIORITY_CLICK)
    bell.wake()
    provider.wait_for("hello", requests=1)

    assert len(provider.log()) == 4, "three of four slots were taken by bulk work, the last by the click"
    provider.open_gate()
    thread.join()
    click.refresh_from_db()
    assert click.recording_download_status == "ready"


def test_a_bell_that_finds_no_free_place_returns_at_once(provider: Provider) -> None:
    row = waiting(business_of(provider), provider, "hello")
    with Lock("drain-0") as first, Lock("drain-1") as second:
        assert first.take()
        assert second.take()
        assert worker.drain() == 0
    row.refresh_from_db()
    assert row.recording_download_status == "queued"
    assert worker.drain() == 1


def test_two_drains_at_once_download_each_recording_once(provider: Provider, witness: Witness) -> None:
    business = business_of(provider)
    for number in range(40):
        waiting(business, provider, f"bulk-{number:06}")
    other = drain_beside()
    worker.drain()
    other.join()
    assert Recording.objects.all().counts()["ready"] == 40
    assert [provider.count(f"bulk-{number:06}").requests for number in range(40)] == [1] * 40
    assert Attempt.objects.count() == 40


def test_a_stop_gives_back_what_runs_and_counts_nothing_against_it(provider: Provider) -> None:
    row = waiting(business_of(provider), provider, "hello")
    provider.misbehave("hello", "gate-body")
    thread = drain_beside()
    provider.wait_for("hello", requests=1)

    stopping.tell()
    bell.wake()
    thread.join(timeout=10)

    assert not thread.is_alive()
    row.refresh_from_db()
    assert (row.recording_download_status, row.recording_token, row.recording_crash_count) == ("queued", None, 0)
    assert Attempt.objects.get().outcome == Outcome.GIVEN_BACK
    assert bell.is_rung()
    assert [file.name for file in default_storage().files_of(row.pk) if not file.is_part] == []


def test_a_worker_that_lost_its_lease_stops_and_writes_nothing(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT_EVERY", 0.1)
    row = waiting(business_of(provider), provider, "hello")
    provider.misbehave("hello", "gate-body")
    thread = drain_beside()
    provider.wait_for("hello", requests=1)

    CallLog.objects.filter(pk=row.pk).update(recording_token="f" * 32)  # as if released and claimed by another
    thread.join(timeout=10)

    assert not thread.is_alive(), "the transfer was not stopped"
    row.refresh_from_db()
    assert (row.recording_download_status, row.recording_token) == ("downloading", "f" * 32)
    assert row.recording_file == ""


def test_a_beat_renews_the_lease_while_the_provider_is_slow(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT_EVERY", 0.05)
    row = waiting(business_of(provider), provider, "hello")
    provider.misbehave("hello", "gate-body")
    thread = drain_beside()
    provider.wait_for("hello", requests=1)
    about_to_end = timezone.now() + timedelta(seconds=3)
    CallLog.objects.filter(pk=row.pk).update(recording_lease_until=about_to_end)

    def renewed() -> bool:
        row.refresh_from_db()
        until = row.recording_lease_until
        return until is not None and until > about_to_end + timedelta(seconds=20)

    wait_until(renewed, 5, "the lease is renewed")
    provider.open_gate()
    thread.join()
    row.refresh_from_db()
    assert row.recording_download_status == "ready"


def test_the_length_that_the_provider_announced_is_in_the_row_while_it_arrives(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ANNOUNCE_AFTER", 0.0)
    row = waiting(business_of(provider), provider, "hello")
    provider.misbehave("hello", "gate-body")
    thread = drain_beside()

    def told() -> bool:
        row.refresh_from_db()
        return row.recording_bytes_total is not None

    wait_until(told, 5, "the length is in the row")
    assert row.recording_download_status == "downloading"
    assert row.recording_bytes_total == len(provider.audio(row.recording_url or "").body)
    assert Attempt.objects.get().validator != ""
    provider.open_gate()
    thread.join()


def test_a_whole_file_that_is_there_already_is_adopted_without_a_request(provider: Provider, witness: Witness) -> None:
    row = waiting(business_of(provider), provider, "hello")
    body = provider.audio(row.recording_url or "").body
    with default_storage().begin(row.pk, "a" * 32) as part:
        part.write(body)
        part.commit()

    worker.drain()

    row.refresh_from_db()
    assert (row.recording_download_status, row.recording_file) == ("ready", f"{row.pk}/{'a' * 32}")
    assert provider.count("hello").requests == 0
    assert Attempt.objects.get().outcome == Outcome.ADOPTED


@pytest.mark.parametrize("fault", ["half", "other address", "other length"])
def test_a_file_that_is_not_the_whole_recording_is_not_adopted(provider: Provider, fault: str) -> None:
    row = waiting(business_of(provider), provider, "hello")
    body = provider.audio(row.recording_url or "").body
    with default_storage().begin(row.pk, "a" * 32) as part:
        part.write(body[: len(body) // 2] if fault == "half" else body)
        part.commit()
    asked = "https://elsewhere.example/1" if fault == "other address" else row.recording_url
    announced = len(body) + 1 if fault == "other length" else None
    Attempt.objects.create(
        recording_id=row.pk, token="a" * 32, outcome=Outcome.CRASHED, ended_at=timezone.now(),
        url_digest=digest(asked or ""), bytes_total=announced,
    )  # fmt: skip

    worker.drain()

    row.refresh_from_db()
    assert row.recording_download_status == "ready"
    assert row.recording_file != f"{row.pk}/{'a' * 32}"
    assert provider.count("hello").requests == 1


def test_a_business_without_an_account_fails_with_a_reason_that_says_so(provider: Provider) -> None:
    row = make_recording(make_business(), "queued")
    worker.drain()
    row.refresh_from_db()
    assert (row.recording_reason, row.recording_permanent) == ("host_not_allowed", True)
    assert "no provider account" in Attempt.objects.get().detail


def test_after_a_429_the_whole_account_waits_and_others_go_on(provider: Provider) -> None:
    limited, other = business_of(provider), business_of(provider)
    first = waiting(limited, provider, "bulk-000001")
    provider.misbehave("bulk-000001", "rate-limited", retry_after=120)
    worker.drain()
    first.refresh_from_db()
    assert first.recording_reason == "rate_limited"
    assert first.recording_next_retry_at is not None
    wait = (first.recording_next_retry_at - timezone.now()).total_seconds()
    assert 110 < wait <= 121

    held, free = waiting(limited, provider, "bulk-000002"), waiting(other, provider, "bulk-000003")
    worker.drain()
    held.refresh_from_db()
    free.refresh_from_db()
    assert (held.recording_download_status, free.recording_download_status) == ("queued", "ready")
    assert provider.count("bulk-000002").requests == 0

    ProviderAccount.objects.update(paused_until=timezone.now())
    worker.drain()
    held.refresh_from_db()
    assert held.recording_download_status == "ready"


def test_refused_credentials_mark_the_account_and_make_no_storm(provider: Provider) -> None:
    business = business_of(provider, secret="wrong")
    for number in range(50):
        waiting(business, provider, f"bulk-{number:06}")
    worker.drain()
    asked = len(provider.log())
    assert asked <= 8, "at most what was under way when the first refusal came"
    failed = Recording.objects.filter(recording_reason="unauthorised")
    assert failed.filter(recording_permanent=True).count() == asked
    left = failed.filter(recording_permanent=False, recording_next_retry_at__range=(now(50), now(61)))
    assert left.count() == 50 - asked, "who was never asked about comes back by itself"
    account = ProviderAccount.objects.get()
    assert account.broken_since is not None


def test_a_click_asks_a_refused_account_again_and_a_success_clears_the_mark(provider: Provider) -> None:
    business = business_of(provider)
    ProviderAccount.objects.refused(ProviderAccount.objects.get())
    bulk = waiting(business, provider, "bulk-000001")
    click = waiting(business, provider, "hello", recording_priority=PRIORITY_CLICK)
    worker.drain()
    for row in (bulk, click):
        row.refresh_from_db()
    assert click.recording_download_status == "ready"
    assert bulk.recording_reason == "unauthorised"
    assert ProviderAccount.objects.get().broken_since is None


def test_storage_that_is_away_is_waited_for_and_no_try_is_spent(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CLAIM_FOR", 0.3)
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.05)
    row = waiting(business_of(provider), provider, "hello", recording_priority=PRIORITY_CLICK)
    marker = default_storage().root / ".prosaasil-storage"
    marker.rename(marker.with_name("aside"))
    worker.drain()
    row.refresh_from_db()
    assert (row.recording_download_status, row.recording_fail_count) == ("queued", 0)
    assert not Attempt.objects.exists()
    assert bell.is_rung(), "another drain goes on waiting"

    marker.with_name("aside").rename(marker)
    worker.drain()
    row.refresh_from_db()
    assert row.recording_download_status == "ready"


def test_a_fault_in_our_own_code_costs_one_attempt_and_not_the_worker(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> None:
        raise ZeroDivisionError

    rows = [waiting(business_of(provider), provider, f"bulk-{number:06}") for number in range(3)]
    monkeypatch.setattr("recordings.download.audio.inspect", broken)
    assert worker.drain() == 3
    for row in rows:
        row.refresh_from_db()
        assert (row.recording_download_status, row.recording_reason) == ("failed", "worker_crashed")


def test_an_account_has_never_more_at_once_than_its_cap_and_all_of_it_is_downloaded(provider: Provider) -> None:
    business = business_of(provider)
    ProviderAccount.objects.update(most_at_once=2)
    provider.latency = 0.1
    for number in range(12):
        waiting(business, provider, f"bulk-{number:06}")
    worker.drain()
    assert provider.counts.most_at_once == 2
    assert set(CallLog.objects.values_list("recording_download_status", flat=True)) == {"ready"}


def test_a_limit_of_bytes_a_second_holds_and_what_waits_for_it_meets_no_deadline(
    provider: Provider, settings: Any
) -> None:
    settings.RECORDINGS_DEADLINE = 1
    business = business_of(provider)
    row = waiting(business, provider, "call")
    size = len(provider.audio(provider.url("call", "wav")).body)
    ProviderAccount.objects.update(bytes_per_second=size // 2)  # two seconds, less what may come at once
    worker.drain()
    row.refresh_from_db()
    assert row.recording_download_status == "ready"
    attempt = Attempt.objects.get()
    assert attempt.ended_at is not None
    assert attempt.ended_at - attempt.started_at > timedelta(seconds=1), "the limit held, for longer than the deadline"


def test_a_provider_that_is_down_is_asked_few_times_and_what_waits_is_not_used_up(provider: Provider) -> None:
    business = business_of(provider)
    rows = [waiting(business, provider, f"bulk-{number:06}") for number in range(100)]
    provider.misbehave("*", "error-503")
    worker.drain()
    asked = len(provider.log())
    assert asked < 60, "it halves until it rests"
    assert CallLog.objects.filter(recording_download_status="queued").count() == len(rows) - asked

    provider.behave()
    CallLog.objects.update(recording_next_retry_at=now())
    ProviderAccount.objects.update(rests_until=now())
    Recording.objects.retry_due()
    worker.drain()
    assert set(CallLog.objects.values_list("recording_download_status", flat=True)) == {"ready"}
