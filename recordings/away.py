"""Telling operators, in the log, that the storage is away: with its folder, which no answer names."""

import logging
from time import monotonic

from recordings.storage import MARKER, default_storage

log = logging.getLogger(__name__)

TELL_EVERY = 60.0
"""Seconds between two lines of one process."""

_next = 0.0


def tell_storage_away() -> None:
    """One ERROR line, at most one a minute: requests for an unmounted disk come by the hundred."""
    global _next  # noqa: PLW0603 - a process has one log
    if monotonic() < _next:
        return
    _next = monotonic() + TELL_EVERY
    root = default_storage().root
    do = f"mount it, so that {root / MARKER} can be read; nothing is lost meanwhile"
    log.error("The storage of recordings is away", extra={"action": "storage_away", "folder": str(root), "do": do})
