"""The sweep puts right what the dead left behind; the clean-up removes only what nothing will use again."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from calls.models import Business, CallLog
from calls.tests.factories import make_business, make_ready, make_recording
from recordings import bell
from recordings.attempts import Attempt, Outcome
from recordings.download import sweeping
from recordings.models import Recording
from recordings.storage import Storage, default_storage
from recordings.tests.transitions import Witness

pytestmark = pytest.mark.django_db
TOKEN, OTHER = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Storage:
    settings.RECORDINGS_ROOT, settings.RUN_DIR = tmp_path / "recordings", tmp_path / "run"
    settings.RECORDINGS_MIN_FREE_BYTES = 0
    default_storage().prepare()
    return default_storage()


def downloading(token: str = TOKEN) -> Recording:
    row = make_recording(make_business(), "downloading", recording_token=token)
    Attempt.objects.create(recording_id=row.pk, token=token)
    return row


def test_a_writer_that_died_is_released_before_its_lease_is_over(storage: Storage, witness: Witness) -> None:
    dead, alive = downloading(TOKEN), downloading(OTHER)
    storage.begin(dead.pk, TOKEN).close()  # a part that nobody locks any more
    with storage.begin(alive.pk, OTHER):
        assert sweeping.sweep().released == 1
    dead.refresh_from_db()
    alive.refresh_from_db()
    assert (dead.recording_download_status, dead.recording_crash_count) == ("queued", 1)
    assert alive.recording_download_status == "downloading"
    assert Attempt.objects.get(token=TOKEN).outcome == Outcome.CRASHED
    assert bell.is_rung()


def test_the_line_of_a_release_names_the_workers_and_the_calls(
    storage: Storage, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    dead = downloading()
    Attempt.objects.update(worker="host:17")
    storage.begin(dead.pk, TOKEN).close()
    sweeping.sweep()
    [line] = [record for record in caplog.records if "released" in record.getMessage()]
    assert (line.count, line.workers, line.calls) == (1, "host:17", dead.call_sid)  # type: ignore[attr-defined]


def test_what_waits_in_silence_is_rung_for_once(witness: Witness) -> None:
    long_ago = timezone.now() - timedelta(seconds=20)
    for _ in range(3):
        make_recording(make_business(), "queued", recording_last_enqueue_at=long_ago)
    assert sweeping.sweep().rung == 1
    assert sweeping.sweep().rung == 0, "a bell that waits is enough"


def test_retries_that_are_due_are_queued(witness: Witness) -> None:
    row = make_recording(
        make_business(),
        "failed",
        recording_reason="stalled",
        recording_next_retry_at=timezone.now() - timedelta(seconds=1),
    )
    assert sweeping.sweep().retried == 1
    row.refresh_from_db()
    assert row.recording_download_status == "queued"


def test_nothing_to_do_writes_nothing(django_assert_num_queries: Any) -> None:
    make_recording(make_business(), "missing")
    with django_assert_num_queries(5):  # what is held, what lapsed, what was fenced off, what is due, what is silent
        assert sweeping.sweep().total == 0


def test_the_file_that_lost_to_another_attempts_is_removed_and_the_served_one_stays(storage: Storage) -> None:
    row = make_ready(make_business())
    with storage.begin(row.pk, TOKEN) as part:
        part.write(b"late")
        part.commit()
    Attempt.objects.create(recording_id=row.pk, token=TOKEN, outcome=Outcome.CRASHED, ended_at=timezone.now())
    assert sweeping.clean_up() == 1
    assert [file.name for file in storage.files_of(row.pk)] == [row.recording_file]


def test_the_files_of_a_deleted_recording_are_removed(storage: Storage) -> None:
    row = make_ready(make_business())
    assert Recording.objects.filter(pk=row.pk).delete_audio() == 1
    assert sweeping.clean_up() == 1
    assert storage.files_of(row.pk) == []


@pytest.mark.parametrize("status", ["missing", "failed", "queued"])
def test_a_whole_file_under_another_status_is_kept_to_be_adopted(storage: Storage, status: str) -> None:
    row = make_recording(make_business(), status)
    with storage.begin(row.pk, TOKEN) as part:
        part.write(b"whole")
        part.commit()
    Attempt.objects.create(recording_id=row.pk, token=TOKEN, outcome=Outcome.CRASHED, ended_at=timezone.now())
    assert sweeping.clean_up() == 0
    assert len(storage.files_of(row.pk)) == 1


@pytest.mark.parametrize("ending", [".part", ".new"])
@pytest.mark.parametrize(("hours", "removed"), [(1, 0), (25, 1)])
def test_an_unfinished_file_is_kept_for_a_day(storage: Storage, hours: int, removed: int, ending: str) -> None:
    row = make_recording(make_business(), "failed")
    part = storage.begin(row.pk, TOKEN)
    part.close()
    path = part.path.rename(part.path.with_suffix(ending))  # .new: its writer was killed before it had the lock
    then = timezone.now() - timedelta(hours=hours)
    os.utime(path, (then.timestamp(), then.timestamp()))
    Attempt.objects.create(recording_id=row.pk, token=TOKEN, outcome=Outcome.CRASHED, ended_at=then)
    assert sweeping.clean_up() == removed


def test_storage_that_is_away_loses_nothing(storage: Storage) -> None:
    row = make_ready(make_business())
    Recording.objects.filter(pk=row.pk).delete_audio()
    (storage.root / ".prosaasil-storage").unlink()
    assert sweeping.clean_up() == 0
    assert (storage.root / row.recording_file).exists()
    assert CallLog.objects.get().recording_reason == "deleted"


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_a_sweep_writes_the_log_of_sqlite_back_so_that_no_commit_has_to(storage: Storage) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL has a checkpointer of its own")
    database = Path(str(connection.settings_dict["NAME"]))
    Business.objects.bulk_create(Business(slug=f"b{n}", name="n" * 200) for n in range(3000))
    before = database.stat().st_size
    sweeping.sweep()
    assert database.stat().st_size > before
