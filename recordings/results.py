"""What an attempt came to, as a worker's threads tell it to its main thread, and the main thread to the rows."""

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

from recordings.reasons import Reason

Held = tuple[int, str]
"""A lease: the recording's id and the token that holds it."""


@dataclass(frozen=True)
class Whole:
    """A whole, verified file: what a `ready` row says of its audio. `duration` is in seconds."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "file", "bytes", "bytes_total", "sha256", "content_type", "duration", "version",
    )  # fmt: skip
    """The row's, each recording_…."""

    file: str
    bytes: int
    sha256: str
    content_type: str
    duration: float
    version: int
    """Names the content: the file's time, in whole Unix seconds."""

    def columns(self) -> dict[str, Any]:
        """The row's columns that describe the file."""
        return {f"recording_{name}": getattr(self, name) for name in self.COLUMNS}

    @property
    def bytes_total(self) -> int:
        """All of it is here."""
        return self.bytes


@dataclass(frozen=True)
class Begun:
    """An attempt whose first bytes are here, and what they tell of the whole. `version`: see Whole."""

    held: Held
    bytes_total: int | None
    content_type: str
    version: int
    validator: str = ""
    """The provider's ETag or Last-Modified."""


@dataclass(frozen=True)
class Finished:
    """An attempt that ended with a whole file; `adopted` when the file was there before it asked the provider."""

    held: Held
    whole: Whole
    http_status: int | None = None
    adopted: bool = False
    seconds: float | None = None
    """From the attempt's start to the whole file."""


@dataclass(frozen=True)
class Failed:
    """An attempt that failed; `retry_after` is the provider's wish in seconds."""

    held: Held
    reason: Reason
    permanent: bool
    url: str = ""
    """The address that was asked for. An import may have written another one meanwhile."""
    detail: str = ""
    retry_after: float | None = None
    http_status: int | None = None
    bytes_done: int | None = None


def digest(url: str) -> str:
    """What an attempt keeps of the address it asked for: enough to know it again."""
    return hashlib.sha256(url.encode()).hexdigest()
