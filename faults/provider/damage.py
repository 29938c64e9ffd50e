"""A right answer of a provider, and what can happen to it between there and here.

`case` makes one at random: an audio, its framing, the redirects before it, and one damage. What the damage lets a
reader know decides what may come of it: the bytes that may be kept (none, where a careful reader must see that
something is wrong), and the reasons that fit.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from demo import library
from demo.exchange import chunk
from demo.library import Audio, head
from recordings.reasons import Reason

BROKEN_OFF = frozenset({Reason.CUT_SHORT, Reason.UNREACHABLE})
BAD_AUDIO = frozenset({Reason.NOT_AUDIO, Reason.UNSUPPORTED_FORMAT, Reason.CUT_SHORT})
BAD_FRAMING = frozenset({Reason.CUT_SHORT, Reason.PROVIDER_ERROR, Reason.STALLED})

LINES: dict[bytes, frozenset[Reason]] = {
    # Another status may be any refusal; 1xx announces an answer that never comes; 200 on a redirect is an empty body.
    b"HTTP/": BAD_FRAMING | {
        Reason.NOT_YET, Reason.GONE, Reason.UNAUTHORISED, Reason.RATE_LIMITED, Reason.UNREACHABLE, Reason.NOT_AUDIO,
    },
    # Another length is a body that goes on or ends early; none is a body whose end nobody knows; 0 is an empty one.
    b"Content-Length": BAD_FRAMING | {Reason.TOO_LARGE, Reason.NOT_AUDIO},
    b"Transfer-Encoding": BAD_FRAMING,
    # Another address: a host that is not ours to ask, one that is no address, or the same again.
    b"Location": BAD_FRAMING | {Reason.HOST_NOT_ALLOWED, Reason.TOO_MANY_REDIRECTS, Reason.UNREACHABLE},
    # A line that is none any more hides those behind it; one that is empty begins the body too early.
    b"": BAD_FRAMING | {Reason.NOT_AUDIO},
}  # fmt: skip
"""What fits when a byte of the line that begins so is another one, or of its end: then also what fits the next line."""


class End(Enum):
    """What becomes of the connection after the last byte."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"
    """Open, and not a byte more."""
    DRIP = "drip"
    """Open, and the rest of the answer a byte at a time."""


@dataclass(frozen=True)
class Script:
    """One answer as it is sent, and what may come of it."""

    data: bytes
    keeps: tuple[bytes, ...] = ()
    """What may be kept as ready; empty: nothing may."""
    reasons: frozenset[Reason] = frozenset()
    """What may be said otherwise; empty: it must be ready."""
    end: End = End.KEEP
    pauses: tuple[int, ...] = ()
    """Before which bytes the provider stops for a moment."""
    pause: float = 0.0
    rest: bytes = b""
    """What END.DRIP drips."""


@dataclass(frozen=True)
class Right:
    """A right answer in its parts."""

    head: bytes
    audio: Audio
    chunks: tuple[bytes, ...] = ()
    """The body in chunks, or not chunked."""
    decoy: Audio | None = None
    """What any other address has, for a redirect."""

    @property
    def body(self) -> bytes:
        """As it is sent. A redirect has none."""
        if self.decoy is not None:
            return b""
        return b"".join(map(chunk, (*self.chunks, b""))) if self.chunks else self.audio.body

    @property
    def data(self) -> bytes:
        """All of it."""
        return self.head + self.body

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """What a reader may come to who follows it."""
        return (self.audio.body,)


Damage = Callable[[Right, random.Random], Script]


@dataclass(frozen=True)
class Case:
    """One recording whose provider answers request number n with answer n; `damaged` is that which is not right."""

    name: str
    kind: str
    audio: Audio
    answers: tuple[Script, ...]
    damaged: int

    @property
    def script(self) -> Script:
        """The answer that counts."""
        return self.answers[self.damaged]


def sound(right: Right, _: random.Random) -> Script:
    """Nothing happens to it."""
    return Script(right.data, right.bodies)


def halting(right: Right, rng: random.Random) -> Script:
    """It comes in pieces, at odd places, over a good connection."""
    places = {0: 0, len(right.head): 1, len(right.data): 2}
    at = [rng.choice(list(places)) + rng.randint(-3, 3) for _ in range(2)] + [rng.randrange(1, len(right.data))]
    pauses = tuple(sorted({place for place in at if 0 < place < len(right.data)}))
    return Script(right.data, right.bodies, pauses=pauses, pause=0.03)


def cut(right: Right, rng: random.Random) -> Script:
    """The connection is closed at any byte."""
    at = _place(right, rng)
    return Script(right.data[:at], _if_whole(right, at), BROKEN_OFF, End.CLOSE)


def reset(right: Right, rng: random.Random) -> Script:
    """The same, with a reset: the reader may not even have what was sent before it."""
    return replace(cut(right, rng), end=End.RESET)


def stall(right: Right, rng: random.Random) -> Script:
    """Nothing comes for a little longer than the read time-out; then the rest."""
    at = min(_place(right, rng), len(right.data) - 1)
    return Script(right.data, _if_whole(right, at), frozenset({Reason.STALLED}), pauses=(at,), pause=-1)


def drip(right: Right, rng: random.Random) -> Script:
    """From any byte on a byte at a time: never too long for a read, too long for the deadline."""
    at = min(_place(right, rng), len(right.data) - 40)
    return Script(right.data[:at], (), frozenset({Reason.STALLED}), End.DRIP, rest=right.data[at:])


def flip_head(right: Right, rng: random.Random) -> Script:
    """One to three bytes of the head are others."""
    places = rng.sample(range(len(right.head)), rng.choice((1, 1, 2, 3)))
    reasons, lines = frozenset[Reason](), right.head.splitlines(keepends=True)
    for place in places:
        reasons |= _of_line(lines, place)
    bodies = right.bodies if right.decoy is None else (*right.bodies, right.decoy.body)
    return Script(_flipped(right.head, places, rng) + right.body, bodies, reasons, _end(rng))


def flip_audio(right: Right, rng: random.Random) -> Script:
    """Bytes of the audio are others. Without a checksum nobody can tell: what was sent is kept, if it still decodes."""
    body = right.audio.body
    flipped = _flipped(body, rng.sample(range(len(body)), rng.choice((1, 2, 20))), rng)
    return _resent(right, _in_pieces(flipped, right.chunks))


def flip_framing(right: Right, rng: random.Random) -> Script:
    """A byte of a chunk's size, or of an end of line, is another one. (Without chunks: of the head.)"""
    if not right.chunks:
        return flip_head(right, rng)
    at, places = 0, list[int]()
    for data in (*right.chunks, b""):
        framed = chunk(data)
        start = len(framed) - len(data) - 2
        places += [*range(at, at + start), at + len(framed) - 2, at + len(framed) - 1]
        at += len(framed)
    flipped = _flipped(right.body, [rng.choice(places)], rng)
    return Script(right.head + flipped, right.bodies, BAD_FRAMING, _end(rng))


def drop_chunk(right: Right, rng: random.Random) -> Script:
    """A chunk, or a piece of the body together with its length, is missing; the framing is right."""
    pieces = _pieces(right, rng)
    del pieces[rng.randrange(len(pieces))]
    return _resent(right, tuple(pieces))


def repeat_chunk(right: Right, rng: random.Random) -> Script:
    """A chunk comes twice."""
    pieces = _pieces(right, rng)
    at = rng.randrange(len(pieces))
    return _resent(right, (*pieces[: at + 1], *pieces[at:]))


def too_short(right: Right, rng: random.Random) -> Script:
    """More bytes are announced than come: the connection closes, or is silent."""
    more = rng.choice((1, 2, 1000))
    silent = rng.random() < 0.1
    reasons = frozenset({Reason.STALLED if silent else Reason.CUT_SHORT})
    return Script(_announcing(right, more), (), reasons, End.SILENCE if silent else End.CLOSE)


def too_long(right: Right, rng: random.Random) -> Script:
    """Fewer bytes are announced than come."""
    fewer = rng.choice((1, 2, 1000))
    return Script(_announcing(right, -fewer), (), frozenset({Reason.PROVIDER_ERROR}), _end(rng))


def stray(right: Right, rng: random.Random) -> Script:
    """A second answer, with another recording, comes right behind it: it is nobody's."""
    other = library.bulk(f"bulk-stray-{rng.randrange(10**6)}", 3000)
    reasons = frozenset({Reason.PROVIDER_ERROR})
    return Script(right.data + other.whole_head + other.body, right.bodies, reasons)


DAMAGES: dict[Damage, int] = {
    sound: 50, halting: 40, cut: 260, reset: 120, stall: 10, drip: 4, flip_head: 220, flip_audio: 50,
    flip_framing: 100, drop_chunk: 40, repeat_chunk: 30, too_short: 40, too_long: 30, stray: 30,
}  # fmt: skip
"""How often each happens, of a little more than a thousand."""

SHORT_AUDIO = ("hello-mulaw", "hello-pcm", "hello-cbr", "hello-vbr", "hello-flac", "hello-ogg")


def case(rng: random.Random, number: int) -> Case:
    """One case, by the generator's state."""
    (damage,) = rng.choices(list(DAMAGES), list(DAMAGES.values()))
    audio = library.bulk(f"bulk-{number}", 6000) if rng.random() < 0.4 else library.load(rng.choice(SHORT_AUDIO))
    name, hops = f"{rng.getrandbits(64):016x}", rng.choice((0, 0, 0, 1, 2))
    final = _right(audio, rng)
    answers = [_redirect(f"/r/{name}/{hop + 1}", audio) for hop in range(hops)] + [final]
    damaged = rng.randrange(len(answers))
    if damage not in (sound, cut, reset, stall, flip_head):
        damaged = hops  # the others are about a body
    scripts = [damage(right, rng) if at == damaged else sound(right, rng) for at, right in enumerate(answers)]
    return Case(name, damage.__name__, audio, tuple(scripts), damaged)


def _right(audio: Audio, rng: random.Random) -> Right:
    fields = list(audio.headers)
    chunked = rng.random() < 0.5
    fields.insert(rng.randrange(len(fields) + 1),
                  "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(audio.body)}")  # fmt: skip
    size = rng.choice((0x400, 0x1000, 0x1001, len(audio.body) // 3))
    return Right(head(200, *fields), audio, _cut_up(audio.body, size) if chunked else ())


DECOY = library.bulk("bulk-decoy", 3000)
"""What is at every address that is nobody's."""


def _redirect(where: str, audio: Audio) -> Right:
    return Right(head(302, "Content-Length: 0", f"Location: {where}"), audio, decoy=DECOY)


def _place(right: Right, rng: random.Random) -> int:
    """Before which byte: in the head as often as in the body, and more often close to an end than by chance."""
    spans = [(0, len(right.head)), (len(right.head), len(right.data)), (max(0, len(right.data) - 8), len(right.data))]
    first, last = rng.choice([span for span in spans if span[0] < span[1]])
    return rng.randrange(first, last)


def _if_whole(right: Right, at: int) -> tuple[bytes, ...]:
    """The body, if the first `at` bytes have all of it and say so: RFC 9112 section 8 (the last chunk is there)."""
    return right.bodies if right.chunks and at >= len(right.data) - 2 else ()


def _end(rng: random.Random) -> End:
    return rng.choice((End.KEEP, End.CLOSE, End.CLOSE, End.CLOSE))


def _flipped(data: bytes, places: list[int], rng: random.Random) -> bytes:
    flipped = bytearray(data)
    for place in places:
        flipped[place] ^= rng.randrange(1, 256)
    return bytes(flipped)


def _of_line(lines: list[bytes], place: int) -> frozenset[Reason]:
    """The reasons that fit another byte at this place of the head."""
    reasons = frozenset[Reason]()
    for line, following in zip(lines, [*lines[1:], b""], strict=True):
        if place < len(line):
            reasons = _fitting(line)
            return reasons | _fitting(following) if place >= len(line) - 2 else reasons
        place -= len(line)
    return reasons


def _fitting(line: bytes) -> frozenset[Reason]:
    return LINES[next(begin for begin in LINES if line.startswith(begin))]


def _cut_up(body: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(body[at : at + size] for at in range(0, len(body), size))


def _in_pieces(body: bytes, like: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """`body` cut where the chunks are; in one piece where there are none."""
    return _cut_up(body, len(like[0])) if like else (body,)


def _pieces(right: Right, rng: random.Random) -> list[bytes]:
    return list(right.chunks or _cut_up(right.audio.body, rng.randrange(200, 3000)))


def _resent(right: Right, pieces: tuple[bytes, ...]) -> Script:
    """Other bytes, rightly framed: what was sent may be kept if it is audio, and it alone."""
    body = b"".join(pieces)
    framed = b"".join(map(chunk, (*pieces, b""))) if right.chunks else body
    length = f"Content-Length: {len(body)}".encode()
    return Script(re.sub(rb"Content-Length: \d+", length, right.head) + framed, (body,), BAD_AUDIO)


def _announcing(right: Right, more: int) -> bytes:
    """All of the body, under a length that is wrong by so much."""
    length = f"Content-Length: {len(right.audio.body) + more}".encode()
    return re.sub(rb"Content-Length: \d+|Transfer-Encoding: chunked", length, right.head) + right.audio.body
