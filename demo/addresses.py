"""Which recording a URL means, which audio that is, and whether its name asks for a misbehaviour.

    /2010-04-01/Accounts/{AC sid}/Recordings/{RE sid}[.wav|.mp3|.json][?RequestedChannels=2]    as at Twilio
    /recordings/{name}[.wav|.mp3|.flac|.ogg]                                                    any other provider

Counts and behaviours go by the *recording*: the RE sid, or the name without its extension. A generic name may end in
`-<misbehaviour>` and then in `-x<N>` for "only the first N requests": `call-vbr-17-slow`, `hello-html-x1`. A SID has no
room for words, so `recording_sid` writes them into it as digests.
"""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from demo.library import NAMES
from demo.misbehaviour import TABLE

TWILIO = re.compile(r"/2010-04-01/Accounts/(AC\w+)/Recordings/(RE\w+?)(?:\.(wav|mp3|json))?", re.ASCII)
GENERIC = re.compile(r"/recordings/([\w.~-]+?)(?:\.(wav|mp3|flac|ogg))?", re.ASCII)
TIMES = re.compile(r"-x(\d{1,6})$", re.ASCII)
MARK = "REde30"
"""What the SIDs that `recording_sid` makes begin with."""


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()[:4] if word else "0000"


SID_AUDIO = {_digest(name): name for name in (*NAMES, "bulk")}
SID_MISBEHAVIOUR = {_digest(name): name for name in TABLE}
ENDINGS = sorted(TABLE, key=len, reverse=True)


@dataclass(frozen=True)
class Address:
    """What a URL asks for. `account_sid` is None for the generic shape, `misbehaviour` and `first` are in the name."""

    recording: str
    audio: str
    extension: str
    channels: int
    account_sid: str | None = None
    hop: int = 0
    misbehaviour: str | None = None
    first: int | None = None


def recording_sid(number: int, audio: str = "call", misbehaviour: str | None = None) -> str:
    """A Twilio recording SID (RE and 32 hex digits) that means this audio and misbehaviour, with no control call.

    `audio`: any name of demo/library.py, or `bulk`. ValueError for an unknown one.
    """
    if audio not in SID_AUDIO.values() or not (misbehaviour is None or misbehaviour in TABLE):
        raise ValueError(f"Unexpected {audio=} or {misbehaviour=}")
    return f"{MARK}{_digest(audio)}{_digest(misbehaviour or '')}{number:020x}"


def parse(target: str) -> Address | None:
    """The address that a request target (path and query) means; None when there is nothing at it."""
    parts = urlsplit(target)
    query = parse_qs(parts.query)
    hop = query.get("hop", ["0"])[0]
    hops = int(hop) if hop.isascii() and hop.isdigit() else 0
    path = unquote(parts.path)
    if match := TWILIO.fullmatch(path):
        account, sid, extension = match.groups()
        channels = 2 if query.get("RequestedChannels") == ["2"] else 1
        audio, misbehaviour = read_sid(sid)
        return Address(sid, audio, extension or "wav", channels, account, hops, misbehaviour)
    if match := GENERIC.fullmatch(path):
        name, extension = match.groups()
        audio, misbehaviour, first = read_name(name)
        return Address(name, audio, extension or "wav", 2, None, hops, misbehaviour, first)
    return None


def read_sid(sid: str) -> tuple[str, str | None]:
    """(audio, misbehaviour) of a SID. One that `recording_sid` did not make is some audio, always the same."""
    if not sid.startswith(MARK):
        return sid, None
    audio = SID_AUDIO.get(sid[6:10], sid)
    return (f"bulk-{sid}" if audio == "bulk" else audio), SID_MISBEHAVIOUR.get(sid[10:14])


def read_name(name: str) -> tuple[str, str | None, int | None]:
    """(audio, misbehaviour, first) of a generic name."""
    stem, first = name, None
    if match := TIMES.search(name):
        stem, first = name[: match.start()], int(match[1])
    for ending in ENDINGS:
        if stem == ending or stem.endswith("-" + ending):
            return stem[: -len(ending)].rstrip("-") or "hello", ending, first
    return name, None, None
