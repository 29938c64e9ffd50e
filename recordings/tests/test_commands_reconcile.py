"""reconcile_recordings: rows against real files, both ways; a second run and a dry run change nothing."""

import hashlib
import logging
import os
import random
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from calls.clock import now
from calls.models import CallLog, RecordingStatus
from calls.tests.factories import NOON, WAV
from recordings.models import Attempt, Outcome, Recording
from recordings.reasons import Reason
from recordings.results import digest
from recordings.storage import MARKER, Storage, default_storage
from recordings.tests.commands import run
from recordings.tests.rows import (
    DOWNLOADING,
    FAILED,
    MISSING,
    QUEUED,
    READY,
    bells,
    business,
    read,
    recording,
    world,
)  # fmt: skip
from recordings.tests.transitions import Witness

pytestmark = pytest.mark.django_db
DAY = 86_400
SAMPLES = b"\x01\x02" * 200
WHOLE = WAV[:40] + len(SAMPLES).to_bytes(4, "little") + SAMPLES
"""A WAV that says how long it is, so that half of it is seen to be half."""


@pytest.fixture(autouse=True)
def storage(settings: Settings, tmp_path: Path) -> Storage:
    settings.RECORDINGS_ROOT = tmp_path / "recordings"
    settings.RECORDINGS_MIN_FREE_BYTES = 0
    made = default_storage()
    made.prepare()
    return made


def put(row: CallLog, data: bytes = WHOLE, token: str | None = None) -> str:
    """A file that an attempt of this recording wrote; its name."""
    name = f"{row.pk}/{token or uuid.uuid4().hex}"
    final = default_storage().path(name)  # plainly: a thousand times `commit` would wait for the disk
    final.parent.mkdir(exist_ok=True)
    final.write_bytes(data)
    return name


def ready() -> Recording:
    """A ready recording with its file."""
    row = recording(READY)
    facts = {"file": put(row), "bytes": len(WHOLE), "sha256": hashlib.sha256(WHOLE).hexdigest()}
    CallLog.objects.filter(pk=row.pk).update(**{f"recording_{name}": value for name, value in facts.items()})
    return read(row)


def path(row: CallLog) -> Path:
    return default_storage().path(row.recording_file)


def files() -> dict[str, bytes]:
    root = default_storage().root
    return {str(found.relative_to(root)): found.read_bytes() for found in root.rglob("*") if found.is_file()}


def reconcile(*options: str) -> dict[str, Any]:
    """What it says it did; zeros and empty lists left out."""
    outcome = run("reconcile_recordings", "--json", *options)
    assert outcome.code == 0, outcome.err
    return {name: value for name, value in outcome.report.items() if value and name not in {"checked", "dry_run"}}


@dataclass
class Plan:
    """What stands in the rows and files before, and what each row must be afterwards."""

    expected: dict[int, str]
    files: set[str]
    counts: dict[str, int]


KINDS = {  # of row and file: the status before, and what it must be afterwards
    "fine": (READY, READY), "deleted": (READY, MISSING), "halved": (READY, MISSING), "lengthened": (READY, MISSING),
    "orphan": (READY, READY), "missing_whole": (MISSING, READY), "missing_half": (MISSING, MISSING),
    "failed_whole": (FAILED, READY), "failed": (FAILED, FAILED), "queued": (QUEUED, QUEUED),
}  # fmt: skip


def thousand_rows() -> Plan:
    """Every kind of damage that is known, mixed; the same at each run."""
    order = list(KINDS) * 100
    random.Random(1).shuffle(order)
    rows = bulk(KINDS[kind][0] for kind in order)
    plan = Plan({}, {MARKER}, dict.fromkeys(("lost", "damaged", "adopted", "orphans_removed", "unusable"), 0))
    for kind, row in zip(order, rows, strict=True):
        plan.expected[row.pk] = KINDS[kind][1].value
        damage(kind, row, plan)
    return plan


def bulk(statuses: Iterable[RecordingStatus]) -> list[CallLog]:
    """Rows in these statuses, in few statements; the ready ones name a file that `damage` writes or not."""
    owner = business()
    facts = {"bytes": len(WHOLE), "sha256": hashlib.sha256(WHOLE).hexdigest()}
    columns = {f"recording_{name}": value for name, value in facts.items()}
    rows = CallLog.objects.bulk_create(
        CallLog(
            business=owner, call_sid=f"CA{number}", started_at=NOON, recording_download_status=status,
            recording_url=f"https://voice.example.com/{number}.wav", recording_file="0/0", **columns,
        )
        for number, status in enumerate(statuses)
    )  # fmt: skip
    for row in rows:
        row.recording_file = f"{row.pk}/{uuid.uuid4().hex}" if row.recording_download_status == READY else ""
    CallLog.objects.bulk_update(rows, ["recording_file"], batch_size=200)
    return rows


def damage(kind: str, row: CallLog, plan: Plan) -> None:
    """Write the files of this kind, and what a run must say of them."""
    half, own = WHOLE[: len(WHOLE) // 2], row.recording_file.rpartition("/")[2]
    match kind:
        case "fine" | "orphan":
            plan.files.add(put(row, token=own))
            if kind == "orphan":
                put(row)
                plan.counts["orphans_removed"] += 1
        case "deleted":
            plan.counts["lost"] += 1
        case "halved" | "lengthened":
            put(row, half if kind == "halved" else WHOLE + b"more", own)
            plan.counts["damaged"] += 1
        case "missing_whole" | "failed_whole":
            name = put(row)
            plan.files |= {name, f"{name}.peaks"}
            plan.counts["adopted"] += 1
        case "missing_half" | "queued":
            plan.files.add(put(row, half))
            plan.counts["unusable"] += kind == "missing_half"


def test_a_thousand_rows_with_files_deleted_added_and_halved_are_right_afterwards(witness: Witness) -> None:
    plan = thousand_rows()
    dry = reconcile("--dry-run")
    before = world()
    assert dry == plan.counts
    assert world() == before
    assert reconcile() == plan.counts
    statuses = dict(Recording.objects.values_list("pk", "recording_download_status"))
    assert statuses == plan.expected
    assert set(files()) == plan.files
    assert bells() == 0
    after, kept = world(), files()
    assert reconcile() == {"unusable": plan.counts["unusable"]}
    assert (world(), files()) == (after, kept)


def test_a_dry_run_changes_neither_a_row_nor_a_file(caplog: pytest.LogCaptureFixture) -> None:
    lost, halved, whole = ready(), ready(), recording(MISSING)
    path(lost).unlink()
    path(halved).write_bytes(WHOLE[:100])
    put(whole), put(ready())
    before, kept = world(), files()
    caplog.set_level(logging.INFO, logger="recordings")
    assert reconcile("--dry-run") == {"lost": 1, "damaged": 1, "adopted": 1, "orphans_removed": 1}
    assert caplog.records == [], "nor does the log say so"
    assert (world(), files()) == (before, kept)


def test_a_dry_run_counts_what_a_run_does_where_a_lost_recording_has_another_whole_file() -> None:
    row = ready()
    path(row).unlink()
    other = put(row)
    expected = {"lost": 1, "adopted": 1}
    assert (reconcile("--dry-run"), reconcile()) == (expected, expected)
    assert read(row).recording_file == other


def test_bytes_that_changed_are_found_when_every_file_is_read() -> None:
    row = ready()
    path(row).write_bytes(WHOLE[:-1] + b"!")
    assert reconcile() == {}
    assert reconcile("--verify") == {"damaged": 1}
    assert (read(row).recording_download_status, path(row).exists()) == (MISSING, False)
    assert reconcile("--verify") == {}


# --- adopting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [MISSING, FAILED])
def test_an_adopted_file_gives_the_row_all_its_facts(witness: Witness, status: Any) -> None:
    row = recording(status)
    name = put(row)
    assert reconcile() == {"adopted": 1}
    now_ready = read(row)
    assert (now_ready.recording_file, now_ready.recording_bytes) == (name, len(WHOLE))
    assert now_ready.recording_sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert (now_ready.recording_content_type, now_ready.recording_reason) == ("audio/wav", "")
    assert now_ready.recording_duration == pytest.approx(len(SAMPLES) / 2 / 8000)


@pytest.mark.parametrize(
    "contradiction", [{"bytes_total": len(WHOLE) + 1}, {"url_digest": digest("https://other.example")}]
)
def test_a_file_that_its_own_attempt_contradicts_is_not_adopted(contradiction: dict[str, Any]) -> None:
    row = recording(MISSING)
    token = uuid.uuid4().hex
    facts = {"url_digest": digest(row.recording_url or ""), "bytes_total": len(WHOLE)} | contradiction
    Attempt.objects.create(recording=row, token=token, outcome=Outcome.CRASHED, ended_at=now(), **facts)
    put(row, token=token)
    assert reconcile() == {"unusable": 1}
    assert read(row).recording_download_status == MISSING


@pytest.mark.parametrize("data", [b"", b"<html>no such recording</html>", WHOLE[:100]])
def test_what_is_not_whole_audio_is_neither_adopted_nor_removed(data: bytes) -> None:
    row = recording(FAILED)
    put(row, data)
    kept = files()
    assert reconcile() == {"unusable": 1}
    assert files() == kept


@pytest.mark.parametrize("status", [QUEUED, DOWNLOADING])
def test_files_of_what_is_under_way_are_left_to_its_attempt(status: Any) -> None:
    row = recording(status)
    put(row), put(row, WHOLE[:100])
    before, kept = world(), files()
    assert reconcile() == {}
    assert (world(), files()) == (before, kept)


def test_files_of_a_deleted_recording_are_removed_and_it_stays_deleted() -> None:
    row = recording(FAILED, reason=Reason.DELETED, permanent=True, next_retry_at=None)
    put(row), put(row)
    assert reconcile() == {"orphans_removed": 2}
    assert read(row).recording_reason == Reason.DELETED
    assert set(files()) == {MARKER}


# --- parts, and what nobody knows -----------------------------------------------------------------------------------


def old(path: Path, age: float) -> None:
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))


def test_an_unfinished_file_without_a_writer_is_removed_after_a_day_and_not_before(storage: Storage) -> None:
    row = recording(FAILED)
    for age in (DAY + 60, DAY - 60):
        with storage.begin(row.pk, uuid.uuid4().hex) as part:
            part.write(b"half")
        old(part.path, age)
    unborn = storage.root / str(row.pk) / f"{uuid.uuid4().hex}.new"
    unborn.write_bytes(b"")
    old(unborn, DAY + 60)
    assert reconcile() == {"parts_removed": 2}
    assert len(files()) == 2
    assert not unborn.exists()


def test_an_unfinished_file_with_a_living_writer_is_never_removed(storage: Storage) -> None:
    row = recording(MISSING)
    with storage.begin(row.pk, uuid.uuid4().hex) as part:
        old(part.path, 2 * DAY)
        assert reconcile() == {}
        assert part.path.exists()


def test_folders_of_no_recording_are_told_and_left(storage: Storage) -> None:
    without_address = recording(url=None)
    stray = CallLog(pk=987_654)
    put(stray), put(without_address)
    kept = files()
    assert reconcile() == {"unknown": [str(without_address.pk), "987654"]} or reconcile() == {
        "unknown": ["987654", str(without_address.pk)]
    }
    assert files() == kept
    assert "987654" in run("reconcile_recordings").out


def test_a_name_that_no_file_can_have_is_a_lost_file() -> None:
    row = recording(READY, file="../../etc/passwd")
    assert reconcile() == {"lost": 1}
    assert read(row).recording_download_status == MISSING


# --- the storage is away --------------------------------------------------------------------------------------------


def test_a_storage_that_is_away_loses_nothing(storage: Storage) -> None:
    ready(), ready()
    (storage.root / MARKER).unlink()
    before, kept = world(), files()
    outcome = run("reconcile_recordings", "--json")
    assert (outcome.code, outcome.out) == (3, "")
    assert "storage is away" in outcome.err
    assert "Nothing was changed" in outcome.err
    assert (world(), files()) == (before, kept)


def test_a_storage_that_goes_away_in_the_middle_stops_the_run(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [ready() for _ in range(3)]
    for row in rows:
        path(row).unlink()
    lose = Recording.objects.all().__class__.lose

    def lose_and_unmount(self: Any, row: CallLog) -> int:
        (storage.root / MARKER).rename(storage.root / "elsewhere")
        return int(lose(self, row))

    monkeypatch.setattr(Recording.objects.all().__class__, "lose", lose_and_unmount)
    outcome = run("reconcile_recordings")
    assert outcome.code == 3
    assert "1 had been put right before" in outcome.err
    assert Recording.objects.counts()["ready"] == 2


def test_the_words_say_what_was_done() -> None:
    path(ready()).unlink()
    put(recording(MISSING))
    words = run("reconcile_recordings").out
    assert "1 ready recordings checked." in words
    assert "1 file gone" in words
    assert "1 whole file found" in words
