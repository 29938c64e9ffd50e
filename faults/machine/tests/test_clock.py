"""A clock that jumps ten minutes, forwards and back: no wrong commit, and what has a time in the future recovers."""

import os
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from calls.clock import now
from calls.models import CallLog
from conftest import StartService
from demo.provider import Provider
from demo.service import wait_until
from recordings import bell
from recordings.download import worker
from recordings.lifecycle import Answer, Ask
from recordings.models import ProviderAccount, Recording
from recordings.tests import rows
from recordings.tests.downloads import business_of, provider_and_storage, waiting
from recordings.tests.living import LONG, customer
from recordings.tests.transitions import Witness

JUMP = 600
COUNT = 60 if LONG else 20


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


@lru_cache(maxsize=1)
def faketime_library() -> str:
    """The path of libfaketime for programs with threads; empty where it is not installed."""
    found = subprocess.run(["faketime", "-f", "+1s", "env"], capture_output=True, text=True, check=False).stdout
    [path] = [line.split("=", 1)[1] for line in found.splitlines() if line.startswith("LD_PRELOAD=")] or [""]
    return path.replace("libfaketime.so.1", "libfaketimeMT.so.1")


def why_no_clock() -> str:
    try:
        return "" if faketime_library() else "faketime preloads nothing here"
    except FileNotFoundError:
        return "faketime is not installed (apt-get install faketime)"


def jump_to(offset: Path, seconds: int) -> None:
    """From now on the service's clock is so far ahead."""
    new = offset.with_suffix(".new")
    new.write_text(f"+{seconds}")
    new.replace(offset)


def test_a_service_whose_clock_jumps_forwards_and_back_commits_each_recording_once_and_right(
    service: StartService, tmp_path: Path
) -> None:
    """On PostgreSQL the server's clock stays, and that of web and workers jumps: they disagree."""
    if why := why_no_clock():
        pytest.skip(why)
    offset = tmp_path / "offset"
    jump_to(offset, 0)
    with Provider(auth="none", latency=0.3, bulk_bytes=50_000) as provider:
        running = service(
            environment={
                "RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address,
                "LD_PRELOAD": faketime_library(),
                "FAKETIME_TIMESTAMP_FILE": str(offset),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            },
            start=False,
        )
        running.start(wait=False)
        running.wait_until_ready()
        acme = customer(running, provider)
        names = {f"CA{number:04}": f"bulk-{number:06}" for number in range(3 * COUNT)}
        acme.import_recordings(names)
        sids = list(names)
        for number, jump in enumerate((0, JUMP, 0)):
            for sid in sids[number * COUNT : (number + 1) * COUNT]:
                assert acme.request("POST", f"/api/recordings/{sid}/download", {})[0] == 202
            provider.wait_for(names[sids[number * COUNT]], requests=1)
            jump_to(offset, JUMP - jump)
        wait_until(lambda: acme.statuses() == {"ready": 3 * COUNT}, 90, "every recording is ready")

        right = {sid: provider.audio(provider.url(name, "wav")).sha256 for sid, name in names.items()}
        assert dict(running.sql("SELECT call_sid, recording_sha256 FROM call_log")) == right
        won = "SELECT recording_id FROM recordings_attempt WHERE outcome IN ('ready', 'adopted')"
        assert running.sql(f"{won} GROUP BY recording_id HAVING COUNT(*) > 1") == [], "one commit of each"
        assert "A silent group is started again" not in running.log()
