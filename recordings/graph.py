"""The life of a recording as data: which verb may move it from where to where (docs/lifecycle.md draws it)."""

from calls.models import RecordingStatus

MISSING, QUEUED, DOWNLOADING, READY, FAILED = (
    RecordingStatus.MISSING,
    RecordingStatus.QUEUED,
    RecordingStatus.DOWNLOADING,
    RecordingStatus.READY,
    RecordingStatus.FAILED,
)

MOVES: dict[str, dict[RecordingStatus, frozenset[RecordingStatus]]] = {
    "queue": {MISSING: frozenset({QUEUED}), FAILED: frozenset({QUEUED})},
    "retry_due": {FAILED: frozenset({QUEUED})},
    "start": {QUEUED: frozenset({DOWNLOADING})},
    "finish": {DOWNLOADING: frozenset({READY})},
    "fail": {DOWNLOADING: frozenset({FAILED})},
    "give_back": {DOWNLOADING: frozenset({QUEUED})},
    "release": {DOWNLOADING: frozenset({QUEUED, FAILED})},
    "adopt": {MISSING: frozenset({READY}), FAILED: frozenset({READY}), DOWNLOADING: frozenset({READY})},
    "lose": {READY: frozenset({MISSING})},
    "readdress": {FAILED: frozenset({MISSING})},
    "delete": {MISSING: frozenset({FAILED}), FAILED: frozenset({FAILED}), READY: frozenset({FAILED})},
}
"""verb → status before → statuses after. What is not here does not happen, whoever asks."""


def sources(verb: str) -> list[RecordingStatus]:
    """The statuses that `verb` may find a recording in."""
    return list(MOVES[verb])


def allowed(before: str, after: str) -> bool:
    """Whether any verb moves a recording from `before` to `after`."""
    return any(after in moves.get(RecordingStatus(before), ()) for moves in MOVES.values())
