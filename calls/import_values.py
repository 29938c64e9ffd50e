"""What an import may say of a call, value by value: from text to what the column takes, or to words about the fault."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from unicodedata import category
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from calls.models import CALL_SID_PATTERN, CallStatus, Direction

LONGEST_DURATION = 2**31 - 1
EARLIEST_YEAR, LATEST_YEAR = 1970, 2199
LONGEST_URL = 2000

_CALL_SID = re.compile(CALL_SID_PATTERN)
_RECORDING_SID = re.compile(r"[!-~]{1,64}")
_DURATION = re.compile(r"-?[0-9]{1,15}(?:\.0*)?")  # spreadsheets write 12.0
_URL = re.compile(
    r"(?i:https?)://(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?#][!-~]*)?"
    r"|/(?!/)[!-~]*"  # what Twilio's API calls `uri`
)
# Twilio's Call resource, property `direction`, tells two kinds of outbound calls apart.
_DIRECTIONS = {value: value for value in Direction.values} | {"outbound-api": "outbound", "outbound-dial": "outbound"}
_STATUSES = frozenset(CallStatus.values)

Reader = Callable[[object], object]


class BadValue(ValueError):
    """A value that its column can't take: a code for programs, words for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def shown(value: object, limit: int = 60) -> str:
    """The value as it can be shown on any terminal: cut, with what is not printable escaped."""
    text = str(value)
    text = text if len(text) <= limit else text[:limit] + "…"
    return text if text.isprintable() else ascii(text)[1:-1]


def readers(zone: ZoneInfo) -> dict[str, Reader]:
    """The reader of each column. Times without a zone are in `zone`."""
    return {
        "call_sid": read_call_sid,
        "direction": read_direction,
        "from_number": lambda value: read_text(value, 64),
        "to_number": lambda value: read_text(value, 64),
        "status": read_status,
        "started_at": lambda value: read_time(value, zone),
        "duration": read_duration,
        "agent": lambda value: read_text(value, 200),
        "recording_url": read_url,
        "recording_sid": read_recording_sid,
    }


def read_text(value: object, longest: int) -> str:
    """Text of at most `longest` characters, without control characters; a whole number is text too."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadValue("not_text", _("is not text"))
    text = value.strip()
    if len(text) > longest:
        raise BadValue("too_long", _("is longer than %(limit)d characters") % {"limit": longest})
    # Directional marks and hard spaces are not printable either, but belong in names.
    if not text.isprintable() and any(category(character) in {"Cc", "Cs"} for character in text):
        raise BadValue("bad_character", _("holds a character that is no text: %(value)s") % {"value": shown(text)})
    return text


def read_call_sid(value: object) -> str:
    """1 to 64 of A–Z, a–z, 0–9, `_`, `-`, `.`."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _CALL_SID.fullmatch(text := text.strip()):
        words = _("is not 1 to 64 of A–Z, a–z, 0–9, _, - and .: %(value)s")
        raise BadValue("malformed", words % {"value": shown(value)})
    return text


def read_recording_sid(value: object) -> str:
    """1 to 64 visible ASCII characters."""
    text = read_text(value, 64)
    if not _RECORDING_SID.fullmatch(text):
        raise BadValue("malformed", _("is not 1 to 64 letters, digits and signs: %(value)s") % {"value": shown(text)})
    return text


def read_direction(value: object) -> str:
    """One of Direction; Twilio's kinds of outbound are outbound."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if text not in _DIRECTIONS:
        raise BadValue("unknown", _unknown(value, Direction.values))
    return _DIRECTIONS[text]


def read_status(value: object) -> str:
    """One of CallStatus."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if text not in _STATUSES:
        raise BadValue("unknown", _unknown(value, CallStatus.values))
    return text


def read_duration(value: object) -> int:
    """Whole seconds."""
    seconds = value
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        seconds = int(value.strip().partition(".")[0])
    elif isinstance(value, float) and value.is_integer():
        seconds = int(value)
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise BadValue("malformed", _("is not a whole number of seconds: %(value)s") % {"value": shown(value)})
    if not 0 <= seconds <= LONGEST_DURATION:
        words = _("is not between 0 and %(limit)d: %(value)s")
        raise BadValue("out_of_range", words % {"limit": LONGEST_DURATION, "value": shown(value)})
    return seconds


def read_time(value: object, zone: ZoneInfo) -> datetime:
    """An ISO 8601 date and time, in UTC; one without a zone is in `zone`."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        time = datetime.fromisoformat(text)
        if len(text) <= len("2026-01-31"):
            raise BadValue("malformed", _("has no time of day: %(value)s") % {"value": shown(value)})
        time = (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except BadValue:
        raise
    except (ValueError, OverflowError):
        example = "2026-01-31T14:05:00+02:00"
        words = _("is not a time such as %(example)s: %(value)s") % {"example": example, "value": shown(value)}
        raise BadValue("malformed", words) from None
    if not EARLIEST_YEAR <= time.year <= LATEST_YEAR:
        raise BadValue("out_of_range", _("is not between the years %(first)d and %(last)d: %(value)s") % {
            "first": EARLIEST_YEAR, "last": LATEST_YEAR, "value": shown(value),
        })  # fmt: skip
    return time


def read_url(value: object) -> str:
    """An http or https address, or a path at the provider. Never repeated in words: its query may hold a secret."""
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > LONGEST_URL:
        raise BadValue("too_long", _("is longer than %(limit)d characters") % {"limit": LONGEST_URL})
    if not _URL.fullmatch(text):
        words = _("is not an address such as https://host/path, or /path (no user name, no spaces, ASCII only)")
        raise BadValue("malformed", words)
    return text


def _unknown(value: object, choices: list[str]) -> str:
    return _("is not one of %(choices)s: %(value)s") % {"choices": ", ".join(choices), "value": shown(value)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a line; `column` is empty where it is the line as a whole."""

    column: str
    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.column} {self.detail}" if self.column else self.detail
