"""A whole file that is already there needs no download: found, decoded and measured before anyone asks the provider.

A worker that died between its file's final name and its row leaves such a file behind.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recordings import sidecar
from recordings.attempts import Attempt
from recordings.download.audio import inspect
from recordings.download.errors import DownloadError, StorageError
from recordings.results import Whole
from recordings.storage import Storage, StoredFile

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Earlier:
    """What an earlier attempt knew: its address (a digest), and what the provider announced for it."""

    url_digest: str
    bytes_total: int | None = None
    validator: str = ""
    version: int | None = None


def earlier_attempts(recording_ids: Sequence[int]) -> dict[int, dict[str, Earlier]]:
    """What the attempts at these recordings knew, by recording and token. A query, so for the main thread."""
    found: dict[int, dict[str, Earlier]] = {}
    if recording_ids:
        attempts = Attempt.objects.filter(recording_id__in=recording_ids)
        columns = ("recording_id", "token", "url_digest", "bytes_total", "validator", "version")
        for pk, token, *known in attempts.values_list(*columns):
            found.setdefault(pk, {})[token] = Earlier(*known)
    return found


def whole_file(
    storage: Storage, recording_id: int, url_digest: str, earlier: Mapping[str, Earlier], *, dry_run: bool = False
) -> Whole | None:
    """The newest whole file of this recording, or None. `earlier` is by token. Writes its waveform unless `dry_run`.

    A file got its final name only when it had been verified; since then a disk may have halved it, or the recording's
    address may have changed. So it is decoded again, and compared with what its own attempt knew.
    Raises StorageAway.
    """
    if not storage.has_folder(recording_id):
        return None
    finals = [file for file in storage.files_of(recording_id) if not file.is_part]
    for file in sorted(finals, key=lambda file: file.modified, reverse=True):
        if _contradicts(file, earlier.get(file.token), url_digest):
            continue
        if whole := verified(storage, file, dry_run=dry_run):
            return whole
    return None


def verified(storage: Storage, file: StoredFile, *, dry_run: bool = False) -> Whole | None:
    """What this file holds, when it decodes from end to end; else None. Raises StorageError, StorageAway.

    Its waveform is kept beside it unless it is there, or this is a `dry_run`.
    """
    try:
        audio = inspect(storage.path(file.name))
        hashed = sha256(storage, file.name)
        if audio.peaks and not dry_run and sidecar.kept(storage, file.name) is None:
            sidecar.keep(storage.path(file.name), audio.peaks.json())
        return Whole(file.name, file.size, hashed, audio.content_type, audio.duration, int(file.modified))
    except StorageError:
        raise  # it can't be read: that says nothing about what it holds
    except (DownloadError, FileNotFoundError):
        return None


def sha256(storage: Storage, name: str) -> str:
    """The hash, in hex, of a stored file. Raises FileNotFoundError, StorageAway."""
    with storage.open(name) as file:
        hasher = hashlib.sha256()
        while block := file.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()


def _contradicts(file: StoredFile, earlier: Earlier | None, url_digest: str) -> bool:
    if earlier is None:
        return False
    return earlier.url_digest != url_digest or earlier.bytes_total not in (None, file.size)
