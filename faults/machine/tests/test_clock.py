"""A clock that jumps ten minutes, forwards and back: no wrong commit, and what has a time in the future recovers."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from calls.clock import now
from calls.models import CallLog
from conftest import StartService
from demo.provider import Provider
from demo.service import wait_until
from faults.machine.clock import NO_COMPILER, Clock, has_compiler
from faults.machine.tests.forms import long_form
from recordings import bell
from recordings.download import worker
from recordings.lifecycle import Answer, Ask
from recordings.models import ProviderAccount, Recording
from recordings.tests import rows
from recordings.tests.downloads import business_of, provider_and_storage, waiting
from recordings.tests.living import customer
from recordings.tests.transitions import Witness

JUMP = 600
COUNT = 60


# --- rows that a wrong clock has written


@pytest.fixture
def provider(transactional_db: None, tmp_path: Path) -> Iterator[Provider]:
    with provider_and_storage(tmp_path, RECORDINGS_SLOTS=4) as provider:
        worker._crew.cache_clear()
        yield provider
        worker._crew.cache_clear()


def test_a_lease_that_ends_ten_minutes_too_late_counts_as_over(provider: Provider, witness: Witness) -> None:
    row = waiting(business_of(provider), provider, "hello")
    Recording.objects.start(1, worker="one whose clock was ahead")
    rows.pass_time(-JUMP, row)
    assert Recording.objects.release() == 1
    worker.drain()
    row.refresh_from_db()
    assert row.recording_download_status == "ready"
    assert provider.count("hello").requests == 1


def test_a_cooldown_a_pause_and_a_silence_that_begin_in_the_future_hold_nobody_up(provider: Provider) -> None:
    business = business_of(provider)
    row = waiting(business, provider, "hello")
    CallLog.objects.filter(pk=row.pk).update(recording_download_status="missing", recording_last_enqueue_at=now(JUMP))
    row.refresh_from_db()
    assert Recording.objects.ask(row, Ask.PLAY) is Answer.ENQUEUED
    CallLog.objects.filter(pk=row.pk).update(recording_last_enqueue_at=now(JUMP))
    bell.untaken().delete()
    assert Recording.objects.ring_again(), "it has waited since a time to come"
    ProviderAccount.objects.update(paused_until=now(2 * 900))
    worker.drain()
    row.refresh_from_db()
    assert row.recording_download_status == "ready"


def test_a_retry_further_ahead_than_any_wait_we_grant_is_due_and_a_person_beats_a_nearer_one(
    provider: Provider,
) -> None:
    business = business_of(provider)
    far, near = (waiting(business, provider, name) for name in ("hello", "bulk-000001"))
    for row in (far, near):
        provider.misbehave(row.recording_url.rsplit("/", 1)[1].removesuffix(".wav"), "error-500")  # type: ignore[union-attr]
    worker.drain()
    provider.behave()
    CallLog.objects.filter(pk=far.pk).update(recording_next_retry_at=now(2 * 900))
    CallLog.objects.filter(pk=near.pk).update(recording_next_retry_at=now(JUMP))
    assert Recording.objects.retry_due() == 1
    near.refresh_from_db()
    assert Recording.objects.ask(near, Ask.PERSON) is Answer.ENQUEUED
    worker.drain()
    for row in (far, near):
        row.refresh_from_db()
        assert row.recording_download_status == "ready"


def test_the_supervisor_counts_silence_by_a_clock_that_does_not_jump(
    settings: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RUN_DIR", tmp_path)
    monotonic = [1000.0]
    monkeypatch.setattr("recordings.bell.time.monotonic", lambda: monotonic[0])
    assert bell.silent_for() == 0, "it never gave one"
    bell.sign_of_life().touch()
    os.utime(bell.sign_of_life(), (1, 1))
    assert bell.silent_for() == 0, "as if the clock had jumped ahead by years"
    monotonic[0] += 50
    assert bell.silent_for() == 50
    bell.sign_of_life().touch()
    assert bell.silent_for() == 0


# --- a real service whose clock jumps


@long_form
@pytest.mark.skipif(not has_compiler(), reason=NO_COMPILER)
def test_a_service_whose_clock_jumps_forwards_and_back_commits_each_recording_once_and_right(
    service: StartService, tmp_path: Path
) -> None:
    """On PostgreSQL the server's clock stays, and that of web and workers jumps: they disagree."""
    clock = Clock(tmp_path)
    with Provider(auth="none", latency=0.3, bulk_bytes=50_000) as provider:
        allowed = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address}
        running = service(environment=allowed | clock.environment)
        acme = customer(running, provider)
        names = {f"CA{number:04}": f"bulk-{number:06}" for number in range(3 * COUNT)}
        acme.import_recordings(names)
        sids = list(names)
        for number, jump in enumerate((0, JUMP, 0)):
            for sid in sids[number * COUNT : (number + 1) * COUNT]:
                assert acme.request("POST", f"/api/recordings/{sid}/download", {})[0] == 202
            provider.wait_for(names[sids[number * COUNT]], requests=1)
            clock.set(JUMP - jump)
        wait_until(lambda: acme.statuses() == {"ready": 3 * COUNT}, 90, "every recording is ready")

        ahead = datetime.now() + timedelta(seconds=JUMP / 2)  # noqa: DTZ005 - as the log has it
        assert [line for line in running.log().splitlines() if f"{ahead:%Y-%m-%d %H:%M:%S}" < line[:19] < "3"], (
            "it jumped"
        )
        right = {sid: provider.audio(provider.url(name, "wav")).sha256 for sid, name in names.items()}
        assert dict(running.sql("SELECT call_sid, recording_sha256 FROM call_log")) == right
        won = "SELECT recording_id FROM recordings_attempt WHERE outcome IN ('ready', 'adopted')"
        assert running.sql(f"{won} GROUP BY recording_id HAVING COUNT(*) > 1") == [], "one commit of each"
        assert "A silent group is started again" not in running.log()
        assert "A process died" not in running.log()
        assert "Traceback" not in running.log()
