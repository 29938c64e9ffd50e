"""A disk that is full at every write of the commit path in turn: never ready without its file, always ready after."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, connection

from calls.models import PRIORITY_CLICK
from demo.provider import Provider
from faults.machine.failing_calls import failing
from faults.machine.tests.forms import once
from recordings import part, sidecar, storage
from recordings.attempts import Attempt, Outcome
from recordings.download import worker
from recordings.download.adopting import sha256
from recordings.models import Recording
from recordings.reasons import Reason
from recordings.storage import default_storage
from recordings.tests import rows
from recordings.tests.downloads import business_of, provider_and_storage, waiting
from recordings.tests.transitions import Witness

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = [part, storage, sidecar]
AT_MOST = 40
"""More writes than one download makes."""


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with provider_and_storage(tmp_path, RECORDINGS_SLOTS=4) as provider:
        worker._crew.cache_clear()
        yield provider
        worker._crew.cache_clear()


def download(row: Recording) -> Recording:
    """Queue it if it has failed and its time has come; drain; the row as it is then."""
    rows.pass_time(120, row)
    Recording.objects.retry_due()
    worker.drain()
    row.refresh_from_db()
    return row


def is_right(row: Recording, provider: Provider) -> bool:
    right = provider.audio(row.recording_url or "").sha256
    return row.recording_sha256 == sha256(default_storage(), row.recording_file) == right


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@once
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize(
    ("code", "reason"), [(errno.ENOSPC, Reason.STORAGE_FULL), (errno.EIO, Reason.STORAGE_ERROR)], ids=["full", "broken"]
)
def test_a_write_that_fails_makes_no_ready_row_and_the_next_try_does(
    provider: Provider, witness: Witness, lasting: bool, code: int, reason: Reason
) -> None:
    business = business_of(provider)
    download(waiting(business, provider, "warm-up"))
    descriptors, failed_at = open_descriptors(), []
    for nth in range(1, AT_MOST):
        name = f"bulk-{nth:06}"
        row = waiting(business, provider, name)
        with failing(WRITERS, nth, code, lasting=lasting) as calls:
            worker.drain()
        row.refresh_from_db()
        if not calls.failed:
            break
        failed_at.append(calls.failed[0])

        if row.recording_download_status == "ready":  # the waveform did not fit, and that costs nobody a recording
            assert is_right(row, provider)
        else:
            assert (row.recording_download_status, row.recording_reason) == ("failed", reason), calls.calls
            assert row.recording_next_retry_at is not None
            assert row.recording_file == ""
            assert is_right(download(row), provider)
        assert row.recording_download_status == "ready"
        assert [file.name for file in default_storage().files_of(row.pk)] == [row.recording_file]
        assert provider.count(name).requests <= 2
        assert open_descriptors() <= descriptors, f"a descriptor was left open by {calls.calls}"
    assert set(failed_at) == {"mkdir", "open", "rename", "write", "utime", "fsync"}, "every kind of write was reached"
    assert len(failed_at) >= 12
    assert is_right(row, provider)


def test_a_fault_of_the_storage_never_spends_the_last_try(provider: Provider) -> None:
    row = waiting(business_of(provider), provider, "hello")
    for _ in range(8):
        with failing(WRITERS, 1):
            download(row)
        assert row.recording_reason == "storage_full"
        assert row.recording_next_retry_at is not None, "it is tried again by itself"
    assert row.recording_fail_count == 4
    assert is_right(download(row), provider)


def test_without_room_no_provider_is_asked_what_waits_goes_on_waiting_and_a_click_hears_why(
    provider: Provider, settings: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("recordings.away._told_until", {})
    monkeypatch.setattr(worker, "CLAIM_FOR", 0.3)
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(default_storage(), "min_free_bytes", 10**15)
    business = business_of(provider)
    click, bulk = (
        waiting(business, provider, "hello", recording_priority=PRIORITY_CLICK),
        waiting(business, provider, "bulk-000001"),
    )

    worker.drain()

    for row in (click, bulk):
        row.refresh_from_db()
    assert (click.recording_download_status, click.recording_reason) == ("failed", "storage_full")
    assert (bulk.recording_download_status, bulk.recording_fail_count) == ("queued", 0)
    assert provider.log() == []
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage() for record in told] == ["The storage of recordings is full"]

    monkeypatch.setattr(default_storage(), "min_free_bytes", 0)
    assert is_right(download(click), provider)
    bulk.refresh_from_db()
    assert is_right(bulk, provider)


def test_a_database_that_takes_no_finish_keeps_the_file_which_is_adopted_without_a_second_request(
    provider: Provider, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk is full for longer than the lease: the worker gives up, the file stays, the sweep lets go of the row."""
    monkeypatch.setattr(worker, "STOP_AFTER", 0.3)
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.05)
    row = waiting(business_of(provider), provider, "hello")

    def full(execute: object, sql: str, params: object, many: bool, context: object) -> object:
        if sql.startswith("UPDATE") and ("CASE" in sql or "recording_lease_until" in sql) and "recording_sha256" in sql:
            raise OperationalError("database or disk is full")
        return execute(sql, params, many, context)  # type: ignore[operator]

    with connection.execute_wrapper(full):
        worker.drain()
    row.refresh_from_db()
    assert (row.recording_download_status, row.recording_file) == ("downloading", "")
    [kept] = default_storage().files_of(row.pk)
    assert not kept.is_part

    rows.pass_time(60, row)
    Recording.objects.release()
    assert is_right(download(row), provider)
    assert row.recording_file == kept.name
    assert provider.count("hello").requests == 1
    assert sorted(Attempt.objects.values_list("outcome", flat=True)) == [Outcome.ADOPTED, Outcome.CRASHED]
