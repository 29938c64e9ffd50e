"""The waveform beside a recording: `<token>.peaks`, which can be made again, so that nothing waits or fails for it.

It is written before its recording gets its final name, and `Storage.delete` and `Part.discard` remove it with that.
What is left when a recording went another way is an orphan.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from recordings.part import FILE_MODE, PART, PEAKS, UNBORN
from recordings.storage import Storage, StorageAway

log = logging.getLogger(__name__)

_FOLDER, _SIDECAR = re.compile("[1-9][0-9]*"), re.compile(f"[0-9a-f]{{32}}{re.escape(PEAKS)}")
_END = b"]]}"  # without an fsync, a power cut may leave less


class Kept(NamedTuple):
    """A waveform, JSON, and when it was written, a Unix time."""

    content: bytes
    modified: float


def keep(recording: Path, content: bytes) -> None:
    """Write it beside this recording, or its part. A failure costs the waveform and not the recording: not raised."""
    path = os.path.splitext(recording)[0] + PEAKS
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
    except OSError as error:
        log.debug("Waveform not kept", extra={"action": "peaks", "error": error.strerror})


def kept(storage: Storage, name: str) -> Kept | None:
    """The waveform of the recording of this name; None where there is none, or not the whole. Raises StorageAway."""
    try:
        with storage.open(name + PEAKS) as file:
            found = Kept(file.read(), os.fstat(file.fileno()).st_mtime)
    except (FileNotFoundError, ValueError):
        return None
    return found if found.content.endswith(_END) else None


def orphans(storage: Storage, recording_id: int) -> list[str]:
    """The names of waveforms of this recording that have neither file nor part beside them."""
    folder = storage.root / str(recording_id)
    if folder.is_symlink():
        return []
    with suppress(FileNotFoundError, NotADirectoryError):
        names = [name for name in os.listdir(folder) if _SIDECAR.fullmatch(name)]
        # In the order of a recording's life, so that one which gets its final name meanwhile is seen.
        alone = [n for n in names if not any((folder / n).with_suffix(each).exists() for each in (UNBORN, PART, ""))]
        return [f"{recording_id}/{name}" for name in alone]
    return []


def all_orphans(storage: Storage) -> Iterator[str]:
    """The same of every recording. Raises StorageAway."""
    storage.check()
    try:
        with os.scandir(storage.root) as folders:
            for folder in folders:
                if _FOLDER.fullmatch(folder.name):
                    yield from orphans(storage, int(folder.name))
    except OSError as error:
        raise StorageAway from error


def remove_orphans(storage: Storage, recording_id: int) -> int:
    """Remove those of one recording; how many. Raises StorageAway, StorageError."""
    return sum(storage.delete(name) for name in orphans(storage, recording_id))
