"""A waveform lives and dies with its recording, and is never taken for one."""

import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from calls.models import CallLog
from calls.tests.factories import make_business, make_ready, make_recording
from demo.provider import Provider
from recordings import sidecar
from recordings.attempts import Attempt, Outcome
from recordings.download import sweeping, worker
from recordings.download.audio import inspect
from recordings.models import Recording
from recordings.storage import MARKER, Part, Storage, StorageAway, default_storage
from recordings.tests.commands import run
from recordings.tests.downloads import business_of, provider_and_storage, waiting
from recordings.tests.test_audio import sample

pytestmark = pytest.mark.django_db
A, B = "a" * 32, "b" * 32
PEAKS = b'{"duration":1.0,"lanes":[[1,2,3]]}'
WHOLE = sample("stereo.flac")


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> Storage:
    settings.RECORDINGS_ROOT, settings.RUN_DIR = tmp_path / "recordings", tmp_path / "run"
    settings.RECORDINGS_MIN_FREE_BYTES = 0
    default_storage().prepare()
    return default_storage()


def files(storage: Storage) -> list[str]:
    return sorted(str(path.relative_to(storage.root)) for path in storage.root.rglob("*") if path.is_file())


def store(storage: Storage, recording_id: int, token: str = A, content: bytes = WHOLE) -> str:
    """A recording with a waveform."""
    with storage.begin(recording_id, token) as part:
        part.write(content)
        sidecar.keep(part.path, PEAKS)
        return part.commit()


def reconcile(*options: str) -> dict[str, Any]:
    outcome = run("reconcile_recordings", "--json", *options)
    assert outcome.code == 0, outcome.err
    return {name: value for name, value in outcome.report.items() if value and name not in {"checked", "dry_run"}}


# --- kept and read


def test_it_is_read_back_and_is_not_a_recording(storage: Storage) -> None:
    name = store(storage, 7)
    found = sidecar.kept(storage, name)
    assert found is not None
    assert (found.content, found.modified) == (PEAKS, (storage.root / f"{name}.peaks").stat().st_mtime)
    assert [file.name for file in storage.files_of(7)] == [name]
    assert [file.name for file in storage.scan()] == [name]
    assert (storage.root / f"{name}.peaks").stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("content", [b"", PEAKS[:-1], PEAKS[:9]])
def test_half_of_one_is_none(content: bytes, storage: Storage) -> None:
    name = store(storage, 7)
    (storage.root / f"{name}.peaks").write_bytes(content)
    assert sidecar.kept(storage, name) is None


@pytest.mark.parametrize("name", ["", f"7/{B}", f"8/{A}", "../../etc/passwd", f"7/{A}.part"])
def test_where_there_is_none_none_is_read(name: str, storage: Storage) -> None:
    store(storage, 7)
    assert sidecar.kept(storage, name) is None


def test_a_storage_that_is_away_is_told_apart_from_none(storage: Storage) -> None:
    name = store(storage, 7)
    storage.root.rename(storage.root.with_name("elsewhere"))
    with pytest.raises(StorageAway):
        sidecar.kept(storage, name)


def test_it_never_costs_the_recording(storage: Storage) -> None:
    with storage.begin(7, A) as part:
        part.path.with_suffix(".peaks").mkdir()  # nothing can be written there
        sidecar.keep(part.path, PEAKS)
        part.path.with_suffix(".peaks").rmdir()
        (storage.root / "outside").write_bytes(b"")
        part.path.with_suffix(".peaks").symlink_to(storage.root / "outside")
        sidecar.keep(part.path, PEAKS)
        name = part.commit()
    assert storage.stat(name).st_size == 0
    assert (storage.root / "outside").read_bytes() == b""


# --- removed with its recording


def test_delete_removes_it_and_the_folder(storage: Storage) -> None:
    assert storage.delete(store(storage, 7))
    assert files(storage) == [MARKER]
    assert not (storage.root / "7").exists()


@pytest.mark.parametrize("committed", [False, True])
def test_discard_removes_it_and_the_folder(committed: bool, storage: Storage) -> None:
    with storage.begin(7, A) as part:
        sidecar.keep(part.path, PEAKS)
        if committed:
            part.commit()
        part.discard()
    assert not (storage.root / "7").exists()


def test_another_attempts_is_left(storage: Storage) -> None:
    name = store(storage, 7)
    with storage.begin(7, B) as part:
        sidecar.keep(part.path, PEAKS)
        part.discard()
    assert files(storage) == [MARKER, name, f"{name}.peaks"]


def test_the_clean_up_removes_what_is_left_of_a_deleted_recording(storage: Storage) -> None:
    row = make_ready(make_business())
    sidecar.keep(storage.path(row.recording_file), PEAKS)
    assert Recording.objects.filter(pk=row.pk).delete_audio() == 1
    assert sweeping.clean_up() == 1
    assert files(storage) == [MARKER]


def test_the_clean_up_removes_orphans_and_nothing_beside_a_file_or_a_part(storage: Storage) -> None:
    row = make_ready(make_business())
    sidecar.keep(storage.path(row.recording_file), PEAKS)
    sidecar.keep(storage.path(f"{row.pk}/{A}"), PEAKS)
    (storage.root / str(row.pk) / "notes.peaks").touch()
    part = storage.begin(row.pk, B)
    part.close()
    sidecar.keep(part.path, PEAKS)
    Attempt.objects.create(recording_id=row.pk, token=B, outcome=Outcome.CRASHED, ended_at=timezone.now())
    before = files(storage)
    assert sweeping.clean_up() == 1
    assert set(before) - set(files(storage)) == {f"{row.pk}/{A}.peaks"}

    day_ago = (timezone.now() - timedelta(hours=25)).timestamp()
    os.utime(part.path, (day_ago, day_ago))
    assert sweeping.clean_up() == 1
    kept = {MARKER, row.recording_file, f"{row.recording_file}.peaks", f"{row.pk}/notes.peaks"}
    assert set(files(storage)) == kept


# --- reconcile


def test_reconcile_removes_orphans_wherever_they_are_and_tells_them_apart_from_files(storage: Storage) -> None:
    row, alone = make_ready(make_business()), make_recording(make_business())
    CallLog.objects.filter(pk=row.pk).update(recording_bytes=storage.stat(row.recording_file).st_size)
    sidecar.keep(storage.path(row.recording_file), PEAKS)
    for pk in (row.pk, alone.pk, 987_654):
        (storage.root / str(pk)).mkdir(exist_ok=True)
        sidecar.keep(storage.path(f"{pk}/{A}"), PEAKS)
    before = files(storage)
    assert reconcile("--dry-run") == {"waveforms_removed": 3}
    assert files(storage) == before
    assert reconcile() == {"waveforms_removed": 3}
    assert reconcile() == {}
    assert files(storage) == [MARKER, row.recording_file, f"{row.recording_file}.peaks"]
    assert not (storage.root / "987654").exists()


def test_a_waveform_alone_is_never_adopted(storage: Storage) -> None:
    row = make_recording(make_business())
    (storage.root / str(row.pk)).mkdir()
    (storage.root / str(row.pk) / f"{A}.peaks").write_bytes(WHOLE)
    assert reconcile() == {"waveforms_removed": 1}
    row.refresh_from_db()
    assert row.recording_download_status == "missing"


@pytest.mark.parametrize("left", [None, b"", PEAKS[:5]])
def test_an_adopted_file_gets_the_waveform_that_it_lacks(left: bytes | None, storage: Storage) -> None:
    row = make_recording(make_business())
    path = storage.path(f"{row.pk}/{A}")
    path.parent.mkdir()
    path.write_bytes(WHOLE)
    if left is not None:
        path.with_suffix(".peaks").write_bytes(left)
    before = {name: (storage.root / name).read_bytes() for name in files(storage)}
    assert reconcile("--dry-run") == {"adopted": 1}
    assert {name: (storage.root / name).read_bytes() for name in files(storage)} == before
    assert reconcile() == {"adopted": 1}
    peaks = inspect(path).peaks
    found = sidecar.kept(storage, f"{row.pk}/{A}")
    assert peaks is not None
    assert found is not None
    assert found.content == peaks.json()


def test_a_damaged_recording_takes_its_waveform_with_it(storage: Storage) -> None:
    row = make_ready(make_business())
    sidecar.keep(storage.path(row.recording_file), PEAKS)
    storage.path(row.recording_file).write_bytes(b"another")
    assert reconcile() == {"damaged": 1}
    assert files(storage) == [MARKER]


# --- downloads


@pytest.mark.django_db(transaction=True)
def test_a_download_leaves_its_waveform_before_it_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    commit = Part.commit

    def look(part: Part, *arguments: Any) -> str:
        seen.append(part.path.with_suffix(".peaks").exists())
        return commit(part, *arguments)

    monkeypatch.setattr(Part, "commit", look)
    with provider_and_storage(tmp_path) as provider:
        row, failing = _download(provider, "call-pcm"), _download(provider, "hello-gsm")
        assert row.recording_download_status == "ready"
        assert seen == [True]
        found = sidecar.kept(default_storage(), row.recording_file)
        peaks = inspect(default_storage().path(row.recording_file)).peaks
        assert found is not None
        assert peaks is not None
        assert found.content == peaks.json()
        assert len(peaks.lanes) == 2
        assert failing.recording_reason == "unsupported_format"
        assert not default_storage().has_folder(failing.pk)


def _download(provider: Provider, name: str) -> CallLog:
    row = waiting(business_of(provider), provider, name)
    worker.drain()
    return CallLog.objects.get(pk=row.pk)


def test_a_name_is_never_two_files() -> None:
    """A token's part, file and waveform differ in their suffixes only."""
    token = uuid.uuid4().hex
    assert Path(token).with_suffix(".peaks").name == Path(f"{token}.part").with_suffix(".peaks").name


# --- orphans


@pytest.mark.parametrize("beside", ["", ".part", ".new"])
def test_beside_a_file_that_lives_none_is_an_orphan(beside: str, storage: Storage) -> None:
    path = storage.root / "7" / f"{A}{beside}"
    path.parent.mkdir()
    path.touch()
    sidecar.keep(storage.path(f"7/{A}"), PEAKS)
    sidecar.keep(storage.path(f"7/{B}"), PEAKS)
    assert sidecar.orphans(storage, 7) == [f"7/{B}.peaks"]
    assert list(sidecar.all_orphans(storage)) == [f"7/{B}.peaks"]
    assert sidecar.remove_orphans(storage, 7) == 1
    assert files(storage) == [MARKER, f"7/{A}{beside}", f"7/{A}.peaks"]
    path.unlink()
    assert sidecar.remove_orphans(storage, 7) == 1
    assert files(storage) == [MARKER]


def test_a_folder_that_is_a_link_is_left_alone(storage: Storage, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"{A}.peaks").write_bytes(PEAKS)
    (storage.root / "7").symlink_to(elsewhere)
    assert sidecar.orphans(storage, 7) == []
    assert list(sidecar.all_orphans(storage)) == []
    assert sidecar.remove_orphans(storage, 7) == 0
    assert (elsewhere / f"{A}.peaks").read_bytes() == PEAKS
