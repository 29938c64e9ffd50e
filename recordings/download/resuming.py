"""Going on where a dead attempt stopped: its part is copied, and the provider is asked for the rest (RFC 9110 §13.1.5).

Only bytes of the same content: the same address, the same announced length, and a validator that the provider still
agrees with. Who listens meanwhile goes on without noticing.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from recordings.download.adopting import Earlier
from recordings.download.errors import CutShort, Stalled, Unreachable
from recordings.download.providers.answers import Rest
from recordings.download.providers.http import Stopped, Transfer
from recordings.part import PART
from recordings.storage import Part, Storage, StoredFile

_INTERRUPTIONS = (Stopped, CutShort, Stalled, Unreachable)


@dataclass(frozen=True)
class Leftover:
    """What is here of a body: the part's file, and the content it belongs to."""

    file: StoredFile
    version: int
    rest: Rest
    """What is still to be asked for."""

    @property
    def is_whole(self) -> bool:
        """Whether the attempt died with all of it, before it had verified it."""
        return self.rest.start == self.rest.total


def leftover(storage: Storage, recording_id: int, url_digest: str, earlier: Mapping[str, Earlier]) -> Leftover | None:
    """The most that a dead attempt left of what this address has; None when nothing can be gone on from.

    Raises StorageAway.
    """
    if not earlier or not storage.has_folder(recording_id):
        return None
    found = [_known(file, earlier[file.token]) for file in _dead_parts(storage, recording_id, earlier)
             if earlier[file.token].url_digest == url_digest]  # fmt: skip
    return max(filter(None, found), key=lambda left: left.rest.start, default=None)


def _known(file: StoredFile, attempt: Earlier) -> Leftover | None:
    if attempt.bytes_total is None or attempt.version is None or not attempt.validator:
        return None
    if not 0 < file.size <= attempt.bytes_total:
        return None
    return Leftover(file, attempt.version, Rest(file.size, attempt.bytes_total, attempt.validator))


def clear(storage: Storage, recording_id: int, earlier: Mapping[str, Earlier]) -> None:
    """Remove what dead attempts left: another part has it all now. Raises StorageAway, StorageError."""
    if earlier and storage.has_folder(recording_id):
        for file in _dead_parts(storage, recording_id, earlier):
            storage.delete(file.name)


def may_go_on(error: BaseException, transfer: Transfer, part: Part) -> bool:
    """Whether a later attempt could go on from this part: it was interrupted, and the provider named its content."""
    named = transfer.validator is not None and transfer.bytes_total is not None
    return isinstance(error, _INTERRUPTIONS) and named and part.size > 0


def new_version(last: int | None) -> int:
    """The name of a content that was never seen before: the Unix time, and never one that this recording had."""
    return max(int(time.time()), (last or 0) + 1)


def _dead_parts(storage: Storage, recording_id: int, earlier: Mapping[str, Earlier]) -> list[StoredFile]:
    parts = [file for file in storage.files_of(recording_id) if file.name.endswith(PART) and file.token in earlier]
    return [file for file in parts if storage.writer_is_dead(recording_id, file.token)]
