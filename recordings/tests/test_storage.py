import fcntl
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.test import override_settings

from recordings.download.errors import StorageError, StorageFull
from recordings.storage import MARKER, Part, Storage, StorageAway, StoredFile, default_storage

REPOSITORY = Path(__file__).resolve().parents[2]
A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "recordings")
    made.prepare()
    return made


def write_all(part: Part, chunks: list[bytes]) -> None:
    for chunk in chunks:
        part.write(chunk)


def store(storage: Storage, recording_id: int, token: str, content: bytes = b"audio") -> str:
    with storage.begin(recording_id, token) as part:
        part.write(content)
        return part.commit()


@contextmanager
def unmounted(storage: Storage) -> Iterator[None]:
    """What a vanished mount looks like: the root is there and empty."""
    elsewhere = storage.root.with_name("elsewhere")
    storage.root.rename(elsewhere)
    storage.root.mkdir()
    yield
    storage.root.rmdir()
    elsewhere.rename(storage.root)


# --- writing


def test_what_was_written_is_read_back_under_its_final_name(storage: Storage) -> None:
    with storage.begin(7, A) as part:
        part.write(b"first ")
        part.write(b"second")
        assert (part.size, part.sha256()) == (12, hashlib.sha256(b"first second").hexdigest())
        assert part.path == storage.root / "7" / f"{A}.part"
        name = part.commit()

    assert name == f"7/{A}"
    with storage.open(name) as file:
        assert file.read() == b"first second"
    assert storage.stat(name).st_size == 12
    assert [path.name for path in (storage.root / "7").iterdir()] == [A]


def test_nothing_has_the_final_name_before_the_commit(storage: Storage) -> None:
    with storage.begin(7, A) as part:
        part.write(b"half")
        with pytest.raises(FileNotFoundError):
            storage.open(f"7/{A}")


def test_an_error_leaves_the_part_for_the_next_attempt(storage: Storage) -> None:
    def attempt() -> None:
        with storage.begin(7, A) as part:
            part.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attempt()
    assert (storage.root / "7" / f"{A}.part").read_bytes() == b"half"


@pytest.mark.parametrize("committed", [False, True])
def test_discard_removes_the_file_and_its_empty_folder(committed: bool, storage: Storage) -> None:
    with storage.begin(7, A) as part:
        part.write(b"x")
        if committed:
            part.commit()
        part.discard()
        part.discard()
    assert list(storage.scan()) == []
    assert not (storage.root / "7").exists()


def test_discard_keeps_the_file_of_another_attempt(storage: Storage) -> None:
    name = store(storage, 7, A)
    with storage.begin(7, B) as part:
        part.discard()
    assert storage.stat(name).st_size == 5


def test_an_attempt_writes_its_file_once(storage: Storage) -> None:
    with storage.begin(7, A), pytest.raises(StorageError):
        storage.begin(7, A)
    store(storage, 7, B)
    with pytest.raises(StorageError):
        storage.begin(7, B)
    assert sorted(found.name for found in storage.scan()) == [f"7/{A}.part", f"7/{B}"]


def test_a_commit_syncs_the_file_then_renames_it_then_syncs_the_folder_and_sync_the_root(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.name, (storage.root / "7" / A).exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    store(storage, 7, A)
    storage.sync()

    assert synced == [(f"{A}.part", False), ("7", True), ("recordings", True)]


def test_begin_survives_a_sweep_that_removes_the_empty_folder(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps = iter(range(3))
    real_mkdir = os.mkdir

    def mkdir_then_sweep(path: str, mode: int = 0o777) -> None:
        real_mkdir(path, mode)
        if next(sweeps, None) is not None:
            os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", mkdir_then_sweep)
    with storage.begin(7, A) as part:
        part.write(b"x")
        assert part.path.read_bytes() == b"x"


# --- a full or broken disk


def test_a_disk_without_room_is_found_out_before_the_start(storage: Storage) -> None:
    free = os.statvfs(storage.root)
    with pytest.raises(StorageFull):
        storage.begin(7, A, expected_bytes=free.f_blocks * free.f_frsize)
    with pytest.raises(StorageFull):
        Storage(storage.root, min_free_bytes=free.f_blocks * free.f_frsize).begin(7, A)
    assert list(storage.scan()) == []


def test_writing_stops_before_the_reserve_for_others_is_used(storage: Storage) -> None:
    with storage.begin(7, A) as part:
        part.write(b"x" * 1000)
        everything = os.statvfs(storage.root)
        part.min_free_bytes = everything.f_blocks * everything.f_frsize  # as if others had filled the disk meanwhile
        with pytest.raises(StorageFull):
            write_all(part, [b"x" * 10_000] * 1000)
        assert 1000 < part.size <= 1 << 20


def test_a_full_disk_is_storage_full(storage: Storage) -> None:
    with storage.begin(7, A) as part:
        full = os.open("/dev/full", os.O_WRONLY)  # every write answers ENOSPC
        os.dup2(full, part.fileno())
        os.close(full)
        with pytest.raises(StorageFull):
            part.write(b"x")
        assert part.size == 0


def test_another_error_of_the_disk_is_a_storage_error(storage: Storage) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with storage.begin(7, A) as part:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # EFBIG beyond
        try:
            part.write(b"x" * 900)
            with pytest.raises(StorageError) as refusal:
                part.write(b"x" * 900)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not isinstance(refusal.value, StorageFull)
        assert part.sha256() == hashlib.sha256(b"x" * part.size).hexdigest()


def test_writable_tells_whether_a_file_can_be_written(storage: Storage) -> None:
    assert storage.writable()
    assert sorted(os.listdir(storage.root)) == [MARKER]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        assert not storage.writable()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(os.listdir(storage.root)) == [MARKER]
    with unmounted(storage):
        assert not storage.writable()


# --- living and dead writers

WRITER = """
import sys
from pathlib import Path
from recordings.storage import Storage
part = Storage(Path(sys.argv[1])).begin(7, sys.argv[2])
part.write(b"half")
print("written", flush=True)
sys.stdin.read()
"""


def test_a_killed_writer_is_seen_to_be_dead_and_a_living_one_is_not(storage: Storage) -> None:
    command = [sys.executable, "-c", WRITER, str(storage.root), A]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        assert not storage.writer_is_dead(7, A)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert storage.writer_is_dead(7, A)
    assert [found.name for found in storage.files_of(7)] == [f"7/{A}.part"]


def test_the_lock_is_held_until_the_part_is_closed(storage: Storage) -> None:
    with storage.begin(7, A) as part:
        assert not storage.writer_is_dead(7, A)
        part.commit()
        with storage.open(f"7/{A}") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with storage.open(f"7/{A}") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    part.close()


def test_without_a_part_nobody_is_called_dead(storage: Storage) -> None:
    assert not storage.writer_is_dead(7, A)
    store(storage, 7, A)
    assert not storage.writer_is_dead(7, A)


def test_a_writer_that_ends_well_while_we_look_is_not_called_dead(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = storage.begin(7, A)
    real_open = os.open

    def open_then_end(path: Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = real_open(path, flags, mode, dir_fd=dir_fd)
        if path == part.path and path.suffix == ".part":
            part.commit()
            part.close()
        return descriptor

    monkeypatch.setattr(os, "open", open_then_end)
    assert not storage.writer_is_dead(7, A)
    assert storage.stat(f"7/{A}").st_size == 0


def test_a_part_is_born_locked(storage: Storage) -> None:
    """Checkers race with two hundred births; an unlocked part of a living writer would be called dead at once."""
    wrongly_dead: list[str] = []
    current, stop = [A], threading.Event()

    def check() -> None:
        while not stop.is_set():
            token = current[0]
            if storage.writer_is_dead(7, token):
                wrongly_dead.append(token)

    checkers = [threading.Thread(target=check) for _ in range(3)]
    for checker in checkers:
        checker.start()
    parts = []
    try:
        for number in range(200):
            current[0] = f"{number:032x}"
            parts.append(storage.begin(7, current[0]))
    finally:
        stop.set()
        for checker in checkers:
            checker.join()
        for part in parts:
            part.close()
    assert wrongly_dead == []


def test_a_part_has_its_lock_when_it_gets_its_name(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    real_rename = os.rename

    def rename(path: str, target: str) -> None:
        real_rename(path, target)
        seen.append(storage.writer_is_dead(7, A))

    monkeypatch.setattr(os, "rename", rename)
    storage.begin(7, A).close()

    assert seen == [False]
    assert storage.writer_is_dead(7, A)


# --- a storage that is away


def test_a_missing_file_is_believed_lost_only_while_the_storage_is_there(storage: Storage) -> None:
    name = store(storage, 7, A)
    for look in (storage.open, storage.stat):
        with pytest.raises(FileNotFoundError):
            look(f"7/{B}")
        with pytest.raises(FileNotFoundError):
            look(f"8/{A}")
        with unmounted(storage), pytest.raises(StorageAway):
            look(name)
    assert storage.stat(name).st_size == 5


def test_everything_else_says_that_the_storage_is_away_too(storage: Storage) -> None:
    store(storage, 7, A)
    with unmounted(storage):
        for look in (storage.check, storage.marker, storage.scan):
            with pytest.raises(StorageAway):
                look()
        with pytest.raises(StorageAway):
            storage.begin(7, B)
        with pytest.raises(StorageAway):
            storage.delete(f"7/{A}")
        with pytest.raises(StorageAway):
            storage.files_of(7)
        assert not storage.writer_is_dead(7, A)
        assert os.listdir(storage.root) == []


def test_a_root_that_does_not_exist_is_away(tmp_path: Path) -> None:
    absent = Storage(tmp_path / "absent")
    for look in (absent.open, absent.stat):
        with pytest.raises(StorageAway):
            look(f"7/{A}")


def test_a_file_that_is_there_and_cannot_be_opened_is_not_lost(storage: Storage) -> None:
    name = store(storage, 7, A)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(next_descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_descriptor, hard))  # EMFILE; unlike file modes it stops root too
    try:
        with pytest.raises(StorageAway):
            storage.open(name)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert storage.stat(name).st_size == 5


def test_storage_away_is_a_transient_failure_of_a_download() -> None:
    assert isinstance(StorageAway(), StorageError)
    assert not StorageAway().permanent


def test_prepare_keeps_the_marker_and_each_storage_has_its_own(storage: Storage, tmp_path: Path) -> None:
    marker = storage.marker()
    storage.prepare()
    other = Storage(tmp_path / "other")
    other.prepare()
    assert storage.marker() == marker != other.marker()
    assert len(marker) == 32


# --- names


@pytest.mark.parametrize(
    "name",
    [
        "",
        A,
        "7",
        "7/",
        f"/7/{A}",
        f"../7/{A}",
        f"7/../{A}",
        f"7/{A}/..",
        f"7/{A}\n",
        f"07/{A}",
        f"-7/{A}",
        f"7/{A.upper()}",
        f"7/{A[:-1]}",
        f"7/{A}.partial",
        f"7\\{A}",
        f"٧/{A}",
        f"7/{A}\0",
        f"../{MARKER}",
    ],
)
def test_a_name_that_we_would_not_have_given_is_refused(name: str, storage: Storage) -> None:
    for look in (storage.open, storage.stat, storage.path, storage.delete):
        with pytest.raises(ValueError, match="Not the name"):
            look(name)


@pytest.mark.parametrize(
    ("recording_id", "token"), [(0, A), (-1, A), (7, ""), (7, ".."), (7, f"../{A}"), (7, f"{A}.part"), (7, A + "\n")]
)
def test_a_bad_token_or_id_is_refused(recording_id: int, token: str, storage: Storage) -> None:
    with pytest.raises(ValueError, match="Not the"):
        storage.begin(recording_id, token)
    with pytest.raises(ValueError, match="Not the"):
        storage.writer_is_dead(recording_id, token)


def test_a_link_a_pipe_or_a_folder_under_a_file_s_name_is_no_recording(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / A).write_bytes(b"secret")
    folder = storage.root / "7"
    folder.mkdir()
    (folder / A).symlink_to(tmp_path / "secret")
    os.mkfifo(folder / B)
    (folder / C).mkdir()
    (storage.root / "8").symlink_to(outside)

    for name in (f"7/{A}", f"7/{B}", f"7/{C}", f"8/{A}"):
        with pytest.raises(FileNotFoundError):
            storage.open(name)
    assert list(storage.scan()) == []


# --- what is there


def test_scan_and_files_of_tell_finals_from_parts(storage: Storage) -> None:
    store(storage, 7, A, b"whole")
    store(storage, 9, C)
    (storage.root / "7" / "notes.txt").write_text("not ours")
    (storage.root / "lost+found").mkdir()
    with storage.begin(7, B) as part:
        part.write(b"half")
        modified = {name: (storage.root / name).stat().st_mtime for name in (f"7/{A}", f"7/{B}.part")}

        seven = storage.files_of(7)
        assert sorted(seven, key=lambda found: found.name) == [
            StoredFile(7, A, f"7/{A}", 5, modified[f"7/{A}"], is_part=False),
            StoredFile(7, B, f"7/{B}.part", 4, modified[f"7/{B}.part"], is_part=True),
        ]
        assert sorted(found.name for found in storage.scan()) == [f"7/{A}", f"7/{B}.part", f"9/{C}"]
    assert storage.files_of(8) == []


def test_what_a_kill_leaves_before_the_birth_is_found_as_a_part(storage: Storage) -> None:
    (storage.root / "7").mkdir()
    (storage.root / "7" / f"{A}.new").touch()
    (found,) = storage.scan()
    assert (found.token, found.is_part) == (A, True)
    assert storage.delete(found.name)


def test_delete_says_whether_there_was_something(storage: Storage) -> None:
    name = store(storage, 7, A)
    with storage.begin(7, B):
        pass
    assert storage.delete(name)
    assert not storage.delete(name)
    assert storage.delete(f"7/{B}.part")
    assert not (storage.root / "7").exists()


def test_a_file_that_was_deleted_plays_on_for_who_has_it_open(storage: Storage) -> None:
    name = store(storage, 7, A)
    with storage.open(name) as file:
        storage.delete(name)
        assert file.read() == b"audio"


def test_files_are_not_readable_by_everybody(storage: Storage) -> None:
    path = storage.path(store(storage, 7, A))
    assert path.stat().st_mode & 0o007 == 0
    assert path.parent.stat().st_mode & 0o007 == 0


def test_the_default_storage_is_the_one_of_the_settings(tmp_path: Path) -> None:
    for reserve in (0, 5):
        with override_settings(RECORDINGS_ROOT=tmp_path, RECORDINGS_MIN_FREE_BYTES=reserve):
            assert default_storage() is default_storage()
            assert (default_storage().root, default_storage().min_free_bytes) == (tmp_path, reserve)
