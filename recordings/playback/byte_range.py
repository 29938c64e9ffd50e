"""Which bytes does a request ask for? Range and its preconditions, RFC 9110 §13 and §14. Pure: strings and numbers."""

import re
from dataclasses import dataclass

from django.utils.http import parse_http_date_safe

_LONGEST = 256  # no honest header is longer; Python refuses to parse numbers of thousands of digits
_LONGEST_LIST = 8192
_UNIT = "bytes="  # range units are case-insensitive (§14.1)
_SPEC = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII)
_OWS = " \t"
_ETAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class RangeNotSatisfiable(Exception):
    """The range begins beyond the end of the recording."""


@dataclass(frozen=True)
class ByteRange:
    """Bytes `start` up to, and without, `stop`; never empty."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes it covers."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The Content-Range header for a representation of `size` bytes (RFC 9110 §14.4)."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    """The Content-Range header of a 416."""
    return f"bytes */{size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that a Range header asks for, or None when the whole is to be sent.

    The whole is sent for no header, another unit, a malformed header and several ranges: a server may ignore any Range
    (§14.2), and no player asks for several. RangeNotSatisfiable for a range from beyond the end and for the last 0
    bytes. The last N bytes of an empty recording are the whole of it: §14.1.2 calls that satisfiable, and no
    Content-Range can say it.
    """
    if header is None or len(header) > _LONGEST or header[: len(_UNIT)].lower() != _UNIT:
        return None
    # A list may hold empty elements, and blanks around its commas (§5.6.1.2).
    specs = [spec for element in header[len(_UNIT) :].split(",") if (spec := element.strip(_OWS))]
    match = _SPEC.fullmatch(specs[0]) if len(specs) == 1 else None
    if match is None:
        return None
    first, last = match.groups()
    if first:
        return _from(int(first), int(last) if last else None, size)
    return _suffix(int(last), size) if last else None


def _from(first: int, last: int | None, size: int) -> ByteRange | None:
    if last is not None and last < first:
        return None
    if first >= size:
        raise RangeNotSatisfiable
    return ByteRange(first, size if last is None else min(last + 1, size))


def _suffix(length: int, size: int) -> ByteRange | None:
    if not length:
        raise RangeNotSatisfiable
    return ByteRange(max(0, size - length), size) if size else None


def if_range_holds(header: str | None, etag: str, last_modified: str) -> bool:
    """May the Range be honoured? True without an If-Range (RFC 9110 §13.1.5).

    Entity tags compare strongly. A date must be our Last-Modified, character for character; it is a strong validator
    here (§8.8.2.2), because a stored recording never changes and is not replaced within the second it was written in.
    """
    if header is None:
        return True
    header = header.strip(_OWS)
    if header.startswith('"'):
        return header == etag
    return header == last_modified


def is_not_modified(if_none_match: str | None, if_modified_since: str | None, etag: str, modified: int) -> bool:
    """Does the client have this version already, so that 304 is the answer to GET and HEAD (RFC 9110 §13.2.2)?

    If-None-Match compares weakly, and If-Modified-Since counts only without it. `modified` is a Unix time in seconds.
    """
    if if_none_match is not None:
        return if_none_match.strip(_OWS) == "*" or etag.removeprefix("W/") in _etags(if_none_match)
    since = parse_http_date_safe(if_modified_since) if if_modified_since else None
    return since is not None and modified <= since


def _etags(header: str) -> set[str]:
    """The opaque tags of a list; none of them when the list is malformed, or longer than any honest one."""
    if len(header) > _LONGEST_LIST:
        return set()
    rest = header.strip(_OWS + ",")
    tags = set()
    while rest:
        match = _ETAG.match(rest)
        if match is None:
            return set()
        tags.add(match[2])
        after = rest[match.end() :].lstrip(_OWS)
        if after and not after.startswith(","):
            return set()
        rest = after.lstrip(_OWS + ",")
    return tags
