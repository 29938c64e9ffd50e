"""Telling operators, in the log, what is wrong with the machine under the recordings: which folder, what to do.

A trouble of the storage is one line a minute of all processes together, kept in step by the time of a file in the run
folder; and one line when it is over. Where that folder cannot be written (it is on the same full disk), each process
counts its own minutes.
"""

import fcntl
import logging
import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from django.conf import settings

from recordings.download.errors import DownloadError, OutOfDescriptors, StorageError, StorageFull, out_of_descriptors
from recordings.storage import MARKER, StorageAway, StorageReadOnly, default_storage

log = logging.getLogger(__name__)

TELL_EVERY = 60.0
"""Seconds between two lines of one trouble."""


class Trouble(NamedTuple):
    """What is wrong: its name in logs, a message, what to do about it."""

    action: str
    message: str
    do: str


_BACK_BY_ITSELF = "downloads go on by themselves then, and nothing is lost meanwhile"

AWAY = Trouble("storage_away", "The storage of recordings is away", "mount it, so that its marker can be read")
FULL = Trouble("storage_full", "The storage of recordings is full", f"make room on its file system; {_BACK_BY_ITSELF}")
READ_ONLY = Trouble(
    "storage_read_only",
    "The storage of recordings can't be written to",
    f"see why (mount, dmesg), mount it writable; {_BACK_BY_ITSELF}",
)
NO_DESCRIPTORS = Trouble(
    "no_descriptors",
    "A process has no file descriptors left",
    "raise the limit (LimitNOFILE, ulimit -n), or lower RECORDINGS_SLOTS, WEB_THREADS; then restart the service",
)
NO_MEMORY = Trouble(
    "no_memory",
    "A download ran out of memory; the worker's others go on",
    "give the service more memory, or lower RECORDINGS_SLOTS",
)

_OF_STORAGE = (AWAY, FULL, READ_ONLY)

_told_until: dict[Trouble, float] = {}
"""Until when (monotonic) this process says no more of each."""
_unwritten: set[Trouble] = set()
"""Those told of by this process that the run folder does not know of."""


def of_storage(error: StorageError | StorageFull) -> Trouble | None:
    """What this error of the storage is about; None for what is of one file only."""
    if isinstance(error, OutOfDescriptors) or out_of_descriptors(error.__cause__):
        return NO_DESCRIPTORS
    if isinstance(error, StorageAway):
        return AWAY
    if isinstance(error, StorageFull):
        return FULL
    return READ_ONLY if isinstance(error, StorageReadOnly) else None


def tell_storage(error: StorageError | StorageFull) -> None:
    """An ERROR line when it is about the storage as a whole; at most one a minute: errors come by the hundred."""
    trouble = of_storage(error)
    if trouble is NO_DESCRIPTORS:
        tell_out_of(NO_DESCRIPTORS, error)
    elif trouble is not None and _quiet_since(trouble) and _first_on_this_machine(trouble):
        _say(trouble, error, folder=str(default_storage().root))


def tell_out_of(trouble: Trouble, error: BaseException) -> None:
    """An ERROR line about this process alone, at most one a minute."""
    if _quiet_since(trouble):
        _say(trouble, error, pid=os.getpid(), descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def look_at_storage() -> None:
    """Look whether recordings can be begun, and tell when that has changed. The queue's pusher does each second."""
    try:
        default_storage().demand_room()
    except (StorageError, StorageFull) as error:
        tell_storage(error)
        for trouble in _OF_STORAGE:
            if trouble is not of_storage(error):
                _is_over(trouble)  # another one took its place; that is no return
    else:
        over = [trouble for trouble in _OF_STORAGE if _is_over(trouble)]
        if over:
            facts = {"action": "storage_back", "folder": str(default_storage().root)}
            log.warning("The storage of recordings is back", extra=facts)


def _say(trouble: Trouble, error: BaseException, **facts: object) -> None:
    said = error.__cause__ or error
    detail = getattr(said, "strerror", None) or (error.detail if isinstance(error, DownloadError) else str(said))
    do = trouble.do if trouble is not AWAY else f"{trouble.do} ({MARKER}); {_BACK_BY_ITSELF}"
    log.error(trouble.message, extra={"action": trouble.action, **facts, "error": detail, "do": do})


def _quiet_since(trouble: Trouble) -> bool:
    """Whether this process may speak of it again; from now on not, for a minute."""
    if monotonic() < _told_until.get(trouble, 0.0):
        return False
    _told_until[trouble] = monotonic() + TELL_EVERY
    return True


def _note(trouble: Trouble) -> Path:
    return Path(settings.RUN_DIR) / f"{trouble.action}.told"


def _first_on_this_machine(trouble: Trouble) -> bool:
    """Whether no other process has told of it in the last minute. An empty file: even a full disk has room for it."""
    try:
        with suppress(FileExistsError):
            os.close(os.open(_note(trouble), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
            return True
        descriptor = os.open(_note(trouble), os.O_WRONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if 0 <= time.time() - os.fstat(descriptor).st_mtime < TELL_EVERY:
                return False
            os.utime(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        _unwritten.add(trouble)
    return True


def _is_over(trouble: Trouble) -> bool:
    """Whether it had been told of, and no other process has taken that back before us."""
    known = trouble in _unwritten
    _unwritten.discard(trouble)
    with suppress(OSError):
        _note(trouble).unlink()
        known = True
    if known:
        _told_until.pop(trouble, None)
    return known
