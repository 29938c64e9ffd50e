"""One recording being written: `<token>.part`, locked while its writer lives, renamed to `<token>` when it is whole."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from recordings.download.errors import OutOfDescriptors, StorageError, StorageFull, out_of_descriptors

PART = ".part"
UNBORN = ".new"  # a part before it is locked; only a kill in that instant leaves one behind
PEAKS = ".peaks"  # the waveform beside a recording (sidecar.py)
FOLDER_MODE, FILE_MODE = 0o750, 0o640  # calls are private; a web server in our group may read them
_MEASURE_FREE_EVERY = 1 << 20
_BIRTHS = 10
_COPIED_AT_ONCE = 1 << 20


class Part:
    """A file that only its own attempt writes. A context manager: leaving it lets go of the lock, and keeps the bytes.

    Nothing of it is removed but by `discard`: what a dead attempt wrote stays for a day, for a next one to go on from.
    """

    def __init__(self, final: Path, min_free_bytes: int = 0) -> None:
        """Made by `Storage.begin`. `final` is the path after `commit`. Raises OSError, StorageError."""
        self.path = final.with_name(final.name + PART)
        self.size = 0
        self._final = final
        self.min_free_bytes = min_free_bytes
        self._measured = 0
        self._sha256 = hashlib.sha256()
        self._descriptor = _born_locked(str(final))

    def write(self, chunk: bytes) -> None:
        """Append. Raises StorageFull, also when the reserve for others would be used up, and StorageError."""
        with storage_errors():
            if self.size + len(chunk) - self._measured >= _MEASURE_FREE_EVERY:
                demand_free(os.fstatvfs(self._descriptor), len(chunk) + self.min_free_bytes)
                self._measured = self.size
            rest = memoryview(chunk)
            while rest:
                written = os.write(self._descriptor, rest)
                self._sha256.update(rest[:written])
                self.size += written
                rest = rest[written:]

    def take_over(self, dead: Path, size: int) -> None:
        """Begin with the first `size` bytes of a dead attempt's part. Raises StorageFull, StorageError."""
        with storage_errors(), dead.open("rb") as file:
            while self.size < size and (block := file.read(min(_COPIED_AT_ONCE, size - self.size))):
                self.write(block)
        if self.size != size:
            raise StorageError("What an earlier attempt left has shrunk.")

    def head(self, most: int) -> bytes:
        """Its first bytes, where it was not begun anew. Raises StorageError."""
        if not self.size:
            return b""
        with storage_errors(), self.path.open("rb") as file:
            return file.read(most)

    def commit(self, version: int | None = None) -> str:
        """Make what was written durable under its final name and return that name. The caller has verified it.

        `version` becomes the file's time (Unix, whole seconds): listeners were told it. The folder's own name may be
        new: `Storage.sync` makes that durable, for many at once. The lock is held until `close`. Raises StorageFull,
        StorageError.
        """
        with storage_errors():
            if version is not None:
                os.utime(self._descriptor, (version, version))
            os.fsync(self._descriptor)
            os.rename(self.path, self._final)
            self.path = self._final
            fsync_folder(self._final.parent)
        return f"{self._final.parent.name}/{self._final.name}"

    def discard(self) -> None:
        """Remove the file under whichever name it has now, its waveform, and its folder when that is empty.

        Raises StorageError.
        """
        with storage_errors():
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(PEAKS).unlink(missing_ok=True)
        with suppress(OSError):
            self.path.parent.rmdir()

    def sha256(self) -> str:
        """The hash, in hex, of the bytes written so far."""
        return self._sha256.hexdigest()

    def fileno(self) -> int:
        """The descriptor that holds the lock."""
        return self._descriptor

    def close(self) -> None:
        """Let go of the lock. Harmless when repeated."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):  # the lock is gone all the same, and what is committed was made durable before
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _born_locked(final: str) -> int:
    """Create under another name, lock, rename: nobody ever sees an unlocked `.part` of a living writer."""
    unborn, part = final + UNBORN, final + PART
    descriptor, in_new_folder = _create(unborn)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not in_new_folder and (os.path.lexists(part) or os.path.lexists(final)):
            raise StorageError("This attempt has written its file before.")
        os.rename(unborn, part)
    except BaseException:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            os.unlink(unborn)
        raise
    return descriptor


def _create(path: str) -> tuple[int, bool]:
    """Open a new file; was its folder made for it?"""
    for _ in range(_BIRTHS):
        in_new_folder = True
        try:
            os.mkdir(os.path.dirname(path), FOLDER_MODE)
        except FileExistsError:
            in_new_folder = False
        with suppress(FileNotFoundError):  # a sweep removed the empty folder between the two lines
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE), in_new_folder
    raise StorageError("The folder of the recording vanishes as often as it is made.")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn the system's errors into StorageFull or StorageError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = OutOfDescriptors if out_of_descriptors(error) else StorageFull if full else StorageError
        raise kind("" if kind is OutOfDescriptors else f"Our storage failed: {error.strerror}.") from error


def demand_free(file_system: os.statvfs_result, needed: int) -> None:
    """Raises StorageFull unless `needed` bytes are free to us."""
    free = file_system.f_bavail * file_system.f_frsize
    if free < needed:
        raise StorageFull(f"{needed} bytes are needed and {free} are free.")
    if file_system.f_files and not file_system.f_favail:  # some file systems count no files at all
        raise StorageFull("Bytes are free, but no further file can be made: the file system has no inodes left.")


def fsync_folder(folder: Path) -> None:
    """Make the names in the folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
