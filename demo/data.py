"""The demo's two companies, their people and their calls. Deterministic, save that times are relative to now.

Names and numbers are made up: Israel's 055-500 and the 555-01 of North America are given to nobody. Recordings are
what demo/provider.py serves; their addresses are paths at the provider, so that they hold whatever its port is.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from demo.addresses import recording_sid
from demo.library import FILES
from demo.provider import ACCOUNT_SID, AUTH_TOKEN, SECRET, USERNAME

PASSWORD = "demo-password"  # noqa: S105  (public, and good on this machine only: demo/checks.py)
TOKEN = f"{'demo':0<36}demo"
"""What the demo's program sends as `Authorization: Token …`."""

OPERATOR = "demo-operator"
PROGRAM = "demo-program"
LONG_SECONDS = 600


@dataclass(frozen=True)
class Company:
    """A business of the demo; `manager` and `listener` are user names."""

    slug: str
    name: str
    timezone: str
    provider: str
    username: str
    secret: str
    manager: str
    listener: str
    agents: tuple[str, ...]
    own_number: str
    numbers: str
    """The callers' numbers, with a place for the last digits."""


COMPANIES = (
    Company(
        "demo-tamar", "Tamar Clinics", "Asia/Jerusalem", "twilio", ACCOUNT_SID, AUTH_TOKEN, "demo-noa", "demo-yossi",
        ("נועה לוי", "יוסי כהן", "מאיה פרץ", "Dana Friedman"), "+972555000100", "+97255500{:04d}",
    ),
    Company(
        "demo-hudson", "Hudson Supplies", "America/New_York", "generic", USERNAME, SECRET, "demo-grace", "demo-liam",
        ("Grace Miller", "Liam O’Connor", "Priya Shah", "Marcus Bell"), "+12125550100", "+1212555{:04d}",
    ),
)  # fmt: skip

Kind = tuple[str, str | None]
"""Audio, and the provider's misbehaviour."""

DOWNLOADED: tuple[Kind, ...] = (
    ("call-vbr", "not-yet"), ("long-vbr", None), ("call-vbr", None), ("call-mulaw", None), ("call-cbr", None),
    ("hello-pcm", None), ("hello-vbr", None), ("call-pcm", None), ("hello-flac", None), ("hello-ogg", None),
    ("call-mono-cbr", "redirect"), ("hello-alaw", "chunked"), ("long-mulaw", None),
)  # fmt: skip
"""Fetched when the demo is loaded, and ready soon afterwards."""

TROUBLED: tuple[Kind, ...] = (
    ("long-mono-mulaw", "slow"),  # five minutes
    ("call-cbr", "gone"), ("call-vbr", "absent"), ("hello-pcm", "html-as-audio"), ("hello-vbr", "empty"),
    ("hello-mulaw", "unsupported"), ("call-mulaw", "redirect-loop"), ("call-vbr", "elsewhere"),
    ("call-cbr", "error-503"), ("hello-cbr", "cut-chunked"),
)  # fmt: skip
"""Fetched when the demo is loaded: one stays under way for minutes, the others fail, each in its way."""

WAITING: tuple[Kind, ...] = (
    ("call-cbr", None), ("hello-vbr", "slow-start"), ("call-vbr", None), ("long-cbr", None), ("hello-pcm", "flaky"),
    ("call-pcm", None), ("hello-ogg", None), ("call-mulaw", "unauthorised"), ("hello-cbr", "rate-limited"),
    ("call-mono-mulaw", None), ("hello-flac", "redirect-3"), ("call-vbr", None),
)  # fmt: skip
"""Not fetched until somebody presses Play."""

UNANSWERED = ("no-answer", "busy", "completed", "canceled", "failed", "no-answer")
"""Calls without a recording, by their status."""


def lines(company: Company, now: datetime) -> list[dict[str, Any]]:
    """The company's calls as lines of an import, newest first; those to fetch at once have `fetch` set."""
    chance = random.Random(company.slug)  # noqa: S311  (it makes data, not secrets)
    kinds: list[tuple[Kind | None, str, bool]] = [(kind, "completed", True) for kind in (*DOWNLOADED[1:], *TROUBLED)]
    kinds += [(kind, "completed", False) for kind in WAITING]
    kinds += [(None, status, False) for status in UNANSWERED]
    chance.shuffle(kinds)
    kinds.insert(0, (DOWNLOADED[0], "completed", True))  # "not yet" is said of a call that has just ended
    times = _times(now, ZoneInfo(company.timezone), chance)
    calls = []
    for number, (kind, status, fetch) in enumerate(kinds, 1):
        recording = _recording(company, number, kind) if kind else {}
        calls.append(_call(company, number, next(times), chance, status) | recording | {"fetch": fetch})
    return calls


def _call(company: Company, number: int, started_at: datetime, chance: random.Random, status: str) -> dict[str, Any]:
    digits = chance.randrange(101, 200) if company.numbers.startswith("+1") else chance.randrange(1000, 10000)
    other = company.numbers.format(digits)
    direction = chance.choice(("inbound", "inbound", "outbound"))
    numbers = (other, company.own_number) if direction == "inbound" else (company.own_number, other)
    return {
        "call_sid": f"CA{chance.getrandbits(96):024x}{number:08x}",
        "direction": direction,
        "from_number": numbers[0],
        "to_number": numbers[1],
        "status": status,
        "started_at": started_at.isoformat(),
        "duration": chance.randrange(4, 40) if status == "completed" else 0,
        "agent": chance.choice(company.agents) if status == "completed" else "",
    }


def _recording(company: Company, number: int, kind: Kind) -> dict[str, Any]:
    audio, misbehaviour = kind
    elsewhere = misbehaviour == "elsewhere"
    misbehaviour = None if elsewhere else misbehaviour
    if company.provider == "twilio":
        sid = recording_sid(number, audio, misbehaviour)
        path = f"/2010-04-01/Accounts/{company.username}/Recordings/{sid}.json"
    else:
        sid = f"rec-{number:05d}"
        path = f"/recordings/{audio}-{number}" + (f"-{misbehaviour}" if misbehaviour else "")
    return {
        "recording_sid": sid,
        "recording_url": f"https://recordings.elsewhere.example{path}" if elsewhere else path,
        "duration": round(FILES[audio][1]) if audio in FILES else LONG_SECONDS,
    }


def _times(now: datetime, zone: ZoneInfo, chance: random.Random) -> Iterator[datetime]:
    """Back from a few minutes ago, in working hours."""
    time = now - timedelta(minutes=3)
    while True:
        yield time.astimezone(UTC)
        time -= timedelta(seconds=chance.randrange(11 * 60, 130 * 60))
        local = time.astimezone(zone)
        if not 8 <= local.hour < 19:
            evening = local.replace(hour=18, minute=chance.randrange(60)) - timedelta(days=local.hour < 8)
            time = min(time, evening.astimezone(UTC))
