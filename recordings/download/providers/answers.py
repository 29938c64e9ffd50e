"""What a provider's answer means: status and headers in, a body's facts or a DownloadError out. Knows no library."""

import re
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import mktime_tz, parsedate_to_datetime, parsedate_tz
from http import HTTPStatus
from typing import Protocol

from recordings.download.errors import (
    CutShort,
    DownloadError,
    Gone,
    NotYet,
    ProviderError,
    RateLimited,
    TooLarge,
    Unauthorised,
)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ERRORS: dict[int, type[DownloadError]] = {
    401: Unauthorised,
    403: Unauthorised,
    404: NotYet,
    410: Gone,
    429: RateLimited,
}
_LENGTH = re.compile(r"[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]{1,9}")
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{0,250}"')
_LONGEST_RETRY_AFTER = 86_400.0


class Headers(Protocol):
    """Header fields by case-insensitive name."""

    def get(self, key: str, /) -> str | None:
        """The value; several are joined by commas."""
        ...

    def getlist(self, key: str, /) -> list[str]:
        """Each field's value."""
        ...


@dataclass(frozen=True)
class Rest:
    """The end of a body whose beginning is here: from byte `start`, of `total`, if `validator` still holds."""

    start: int
    total: int
    validator: str

    def headers(self) -> dict[str, str]:
        """What asks for it, or for all of a body that has changed (RFC 9110 section 13.1.5)."""
        return {"Range": f"bytes={self.start}-", "If-Range": self.validator}


class NotResumable(Exception):
    """The answer to a request for the rest makes no sense: all of it has to be asked for."""


@dataclass(frozen=True)
class Announced:
    """What the headers of a good answer say of its body."""

    total: int | None
    """The length of the whole in bytes; None when it comes in chunks."""
    validator: str | None
    """A strong ETag, or a Last-Modified that is strong."""
    start: int = 0
    """Where in the whole the body begins."""


def redirect(status: int, headers: Headers) -> str | None:
    """Where a redirect leads, as a URL reference in ASCII; None when the answer is none (RFC 9110 section 15.4)."""
    location = headers.get("location") if status in _REDIRECTS else None
    if location is None:
        return None
    return "".join(c if c.isascii() else f"%{ord(c):02X}" for c in location)  # fields are read as Latin-1


def accept(status: int, version: int, headers: Headers, max_bytes: int, rest: Rest | None = None) -> Announced:
    """The facts of a body that may be read: status 200, or 206 where `rest` was asked for; sound framing, no encoding.

    Raises NotResumable for a 206 or 416 that does not fit what was asked for; the error of its status; ProviderError
    for framing that is refused; CutShort for a body that ends with the connection (nothing would tell a cut one from a
    whole one); TooLarge when it announces more than `max_bytes`.
    """
    if rest is not None and status in {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
        return _resumed(status, version, headers, rest)
    if status != HTTPStatus.OK:
        kind = _ERRORS.get(status, ProviderError)
        raise kind(
            f"The provider answered {status}.", retry_after=retry_after(headers.get("retry-after")), http_status=status
        )
    if _is_encoded(headers):
        raise ProviderError("The provider encoded the body though it was asked not to.", http_status=status)
    total = _length(version, headers)
    if total is not None and total > max_bytes:
        raise TooLarge(f"The recording has {total} bytes, more than RECORDINGS_MAX_BYTES ({max_bytes}).")
    return Announced(total, _validator(headers))


def _resumed(status: int, version: int, headers: Headers, rest: Rest) -> Announced:
    """The end of the same body, exactly as asked for (RFC 9110 section 15.3.7)."""
    expected = f"bytes {rest.start}-{rest.total - 1}/{rest.total}"
    named = "etag" if rest.validator.startswith('"') else "last-modified"
    same = headers.get(named) in {None, rest.validator}  # it may be left out
    if status != HTTPStatus.PARTIAL_CONTENT or _is_encoded(headers) or not same:
        raise NotResumable
    if (headers.get("content-range") or "").strip().lower() != expected:
        raise NotResumable
    if _length(version, headers) not in {None, rest.total - rest.start}:
        raise NotResumable
    return Announced(rest.total, rest.validator, rest.start)


def _is_encoded(headers: Headers) -> bool:
    return (headers.get("content-encoding") or "identity").strip().lower() != "identity"


def _length(version: int, headers: Headers) -> int | None:
    """Content-Length, or None for chunks: exactly one of them, and plainly (RFC 9112 section 6.3)."""
    codings, lengths = headers.getlist("transfer-encoding"), headers.getlist("content-length")
    if codings:
        if lengths or version < 11 or [coding.strip().lower() for coding in codings] != ["chunked"]:
            raise ProviderError("The provider's answer has conflicting or unknown framing.", http_status=200)
        return None
    if not lengths:
        raise CutShort("The provider's answer has no length, so a cut could not be told from its end.", http_status=200)
    require_plain_lengths(lengths)
    return int(lengths[0])


def require_plain_lengths(lengths: list[str]) -> None:
    """Raise ProviderError unless Content-Length stands at most once, as a number (RFC 9110 section 8.6)."""
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length.strip()) for length in lengths):
        raise ProviderError("The provider's answer has a Content-Length that is no single number.")


def _validator(headers: Headers) -> str | None:
    etag = headers.get("etag")
    if etag and _STRONG_ETAG.fullmatch(etag):
        return etag
    modified, date = headers.get("last-modified") or "", headers.get("date") or ""
    return modified if _is_older(modified, date) else None


def _is_older(modified: str, date: str) -> bool:
    """Whether the date can stand for the content: it is not of this very second (RFC 9110 section 8.8.2.2)."""
    then, now = parsedate_tz(modified), parsedate_tz(date)
    return then is not None and now is not None and mktime_tz(then) < mktime_tz(now)


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from either form of Retry-After (RFC 9110 section 10.2.3), at most a day.

    None for nonsense, for a negative number and for a time in the past: then the usual delay is better.
    """
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), _LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    if date.tzinfo is None:  # the asctime form has no zone, and means UTC
        date = date.replace(tzinfo=UTC)
    seconds = date.timestamp() - time.time()
    return min(seconds, _LONGEST_RETRY_AFTER) if seconds >= 0 else None
