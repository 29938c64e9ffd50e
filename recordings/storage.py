"""Recordings as local files: begun, opened, deleted and listed. Knows no model. (part.py: written aside, then renamed.)

Below the root: the marker `.prosaasil-storage`, and for each recording a folder with `<token>.part` while an attempt
writes it and `<token>` once it is whole, and its waveform in `<token>.peaks` (sidecar.py). A file's name, as rows keep
it, is `<recording_id>/<token>`. A token belongs to one attempt only, so a stale worker can never touch the file of
another.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypeVar

from django.conf import settings

from recordings.download.errors import StorageError
from recordings.part import FOLDER_MODE, PART, PEAKS, UNBORN, Part, demand_free, fsync_folder, storage_errors

__all__ = ["MARKER", "Part", "Storage", "StorageAway", "StorageReadOnly", "StoredFile", "default_storage"]

T = TypeVar("T")
MARKER = ".prosaasil-storage"
_ID, _TOKEN = re.compile("[1-9][0-9]{0,18}"), re.compile("[0-9a-f]{32}")
_NAME = re.compile(rf"({_ID.pattern})/({_TOKEN.pattern})({re.escape(PART)}|{re.escape(UNBORN)}|{re.escape(PEAKS)})?")


class StorageAway(StorageError):
    """Our storage is not there: its marker file cannot be opened. Nothing may be believed lost."""


class StorageReadOnly(StorageError):
    """Our storage is mounted read-only."""


@dataclass(frozen=True)
class StoredFile:
    """One file found in the storage; `name` opens and deletes it, `size` is in bytes, `modified` is a Unix time."""

    recording_id: int
    token: str
    name: str
    size: int
    modified: float
    is_part: bool


class Storage:
    """The recordings below one folder. Cheap to make; holds no descriptor; safe to share between threads."""

    def __init__(self, root: Path, min_free_bytes: int = 0) -> None:
        """`min_free_bytes` stay free on the file system, for the database and whatever else lives there."""
        self.root = root
        self.min_free_bytes = min_free_bytes

    def prepare(self) -> None:
        """Make the root and its marker. For set-up only: who serves or downloads must never mark a vanished mount."""
        with storage_errors():
            self.root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            marker = self.root / MARKER
            if marker.exists():
                return
            unborn = marker.with_name(f"{MARKER}.{secrets.token_hex(8)}")
            with unborn.open("xb") as file:
                file.write(secrets.token_hex(16).encode())
                file.flush()
                os.fsync(file.fileno())
            unborn.rename(marker)
            fsync_folder(self.root)

    def check(self) -> None:
        """Raises StorageAway unless the marker opens."""
        try:
            os.close(os.open(os.path.join(self.root, MARKER), os.O_RDONLY))
        except OSError as error:
            raise StorageAway from error

    def demand_room(self) -> None:
        """Could a recording be begun now? Two system calls, so ask before a provider is asked.

        Raises StorageAway; StorageReadOnly; StorageFull when only what must stay free is left.
        """
        self.check()
        with storage_errors():
            disk = os.statvfs(self.root)
        if disk.f_flag & os.ST_RDONLY:
            raise StorageReadOnly
        demand_free(disk, max(1, self.min_free_bytes))

    def sync(self) -> None:
        """Make the folders of new recordings durable: once for a batch of committed parts, before rows name them.

        Raises StorageFull, StorageError.
        """
        with storage_errors():
            fsync_folder(self.root)

    def marker(self) -> str:
        """The random id of this storage: two processes that read the same one share it. Raises StorageAway."""
        try:
            return (self.root / MARKER).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise StorageAway from error

    def writable(self) -> bool:
        """Try it: write a small file and remove it."""
        probe = self.root / f".writable-{secrets.token_hex(8)}"
        try:
            self.check()
            try:
                probe.write_bytes(b"1")
            finally:
                probe.unlink(missing_ok=True)
        except (OSError, StorageAway):
            return False
        return True

    def begin(self, recording_id: int, token: str, expected_bytes: int | None = None) -> Part:
        """Open a new part, locked from its birth, for an attempt that never had one.

        `expected_bytes` is the length that was announced: with it, a disk that is too small is found out at once.
        Raises StorageAway, StorageFull, StorageError; ValueError for what is no token.
        """
        final = self.path(_final_name(recording_id, token))
        self.check()
        with storage_errors():
            demand_free(os.statvfs(self.root), (expected_bytes or 0) + self.min_free_bytes)
            return Part(final, self.min_free_bytes)

    def open(self, name: str) -> BinaryIO:
        """Open for reading. FileNotFoundError only when the storage itself is there, else StorageAway.

        The caller may therefore believe a FileNotFoundError: the file is lost, and the disk is not merely unmounted.
        """
        return os.fdopen(self._descriptor(name), "rb")

    def open_growing(self, recording_id: int, token: str) -> int:
        """A descriptor of what this attempt writes, or has written. Raises as `open` does."""
        name = _final_name(recording_id, token)
        try:
            return self._descriptor(name + PART)
        except FileNotFoundError:  # it has its final name by now
            return self._descriptor(name)

    def stat(self, name: str) -> os.stat_result:
        """Its size, its time and so on. Raises as `open` does."""
        return self._looked_at(name, _stat_regular_file)

    def path(self, name: str) -> Path:
        """Where the file of this name is or would be. ValueError for a name that we would not have given."""
        _demand_name(name)
        return self.root / name

    def delete(self, name: str) -> bool:
        """Remove the file with its waveform, and its folder once that is empty; was it there?

        Raises StorageAway, StorageError.
        """
        path = self.path(name)
        self.check()
        with storage_errors():
            try:
                path.unlink()
            except FileNotFoundError:
                return False
            path.with_suffix(PEAKS).unlink(missing_ok=True)
            with suppress(OSError):  # another attempt's file keeps it; `begin` makes it anew
                path.parent.rmdir()
            return True

    def writer_is_dead(self, recording_id: int, token: str) -> bool:
        """Is the attempt's part there with nobody holding its lock? Without a part only the lease can tell: False."""
        path = self.path(_final_name(recording_id, token) + PART)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # It may have been renamed by a writer that has ended well since we opened it.
            return os.path.samestat(os.fstat(descriptor), path.stat())
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def has_folder(self, recording_id: int) -> bool:
        """Whether any attempt ever left something here. Cheap; says nothing when the storage is away."""
        return os.path.isdir(os.path.join(self.root, str(recording_id)))

    def files_of(self, recording_id: int) -> list[StoredFile]:
        """Every file of one recording, parts too, waveforms not. Raises StorageAway."""
        self.check()
        return list(self._files(recording_id))

    def scan(self) -> Iterator[StoredFile]:
        """The same of every recording, in no order. Raises StorageAway at once, and in the middle too."""
        self.check()
        return self._every_file()

    def _every_file(self) -> Iterator[StoredFile]:
        try:
            with os.scandir(self.root) as folders:
                for folder in folders:
                    if _ID.fullmatch(folder.name):
                        yield from self._files(int(folder.name))
        except OSError as error:
            raise StorageAway from error

    def _files(self, recording_id: int) -> Iterator[StoredFile]:
        folder = self.root / str(recording_id)
        if folder.is_symlink():  # `open` does not follow it either
            return
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    match = _NAME.fullmatch(f"{recording_id}/{entry.name}")
                    if match is None or match[3] == PEAKS or not entry.is_file(follow_symlinks=False):
                        continue
                    with suppress(FileNotFoundError):  # renamed or deleted while we looked
                        found = entry.stat(follow_symlinks=False)
                        yield StoredFile(
                            recording_id, match[2], match[0], found.st_size, found.st_mtime, is_part=bool(match[3])
                        )
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StorageAway from error

    def _descriptor(self, name: str) -> int:
        return self._looked_at(name, _open_regular_file)

    def _looked_at(self, name: str, look: Callable[[str, int], T]) -> T:
        """`look` at the file, by its own name and a descriptor of its folder. Raises as `open` does.

        Through one descriptor of the root, so that file and marker are looked for on the same mount.
        """
        _demand_name(name)
        folder, file_name = name.split("/")
        try:
            with _opened(self.root) as root:
                with suppress(FileNotFoundError, NotADirectoryError), _opened(folder, root) as inside:
                    return look(file_name, inside)
                os.close(os.open(MARKER, os.O_RDONLY, dir_fd=root))
        except OSError as error:
            raise StorageAway from error
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _demand_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"Not the name of a stored recording: {name!r}")


def _final_name(recording_id: int, token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"Not the token of an attempt: {token!r}")
    return f"{recording_id}/{token}"


@contextmanager
def _opened(folder: Path | str, inside: int | None = None) -> Iterator[int]:
    no_link = 0 if inside is None else os.O_NOFOLLOW  # the root itself may be a link
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | no_link, dir_fd=inside)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _stat_regular_file(name: str, folder: int) -> os.stat_result:
    """FileNotFoundError also for a link, a pipe or a folder: we never make one under this name, nor follow it."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return found


def _open_regular_file(name: str, folder: int) -> int:
    _stat_regular_file(name, folder)
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)


def default_storage() -> Storage:
    """The storage that the settings name."""
    return _storage(settings.RECORDINGS_ROOT, settings.RECORDINGS_MIN_FREE_BYTES)


@lru_cache(maxsize=8)  # by value, so that tests may override the settings
def _storage(root: Path | str, min_free_bytes: int) -> Storage:
    return Storage(Path(root), min_free_bytes)
