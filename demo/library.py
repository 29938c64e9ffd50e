"""The demo's audio by name: short files from demo/audio/, long ones made of them, and any number of distinct bulk WAVs.

A *take* is one conversation in several forms (`hello`, `call`, `long`): the form follows from the extension and the
channels that are asked for, as at Twilio. An *audio* is one file exactly (`call-vbr`, `hello-flac`, `long-cbr`).
`find` knows both.
"""

import hashlib
import io
import struct
import wave
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http import HTTPStatus
from pathlib import Path

from demo import mp3

AUDIO = Path(__file__).parent / "audio"
LONG_SECONDS = 600
BULK_BYTES = 100_000
TYPES = {"wav": "audio/x-wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg"}
"""What the provider says of a file with this ending (Twilio says audio/x-wav)."""
WAVE_MULAW = 7
MODIFIED = "Mon, 01 Jan 2024 00:00:00 GMT"
PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class Audio:
    """One file as the provider serves it. `duration` in seconds; None when the demo does not know it.

    `etag` (with quotes) and `modified` (an HTTP date) are sent unless None; an empty `etag`: one made from the body.
    """

    body: bytes
    content_type: str
    duration: float | None = None
    channels: int = 1
    etag: str | None = ""
    modified: str | None = MODIFIED

    @cached_property
    def sha256(self) -> str:
        """Of the whole body, in hex."""
        return hashlib.sha256(self.body).hexdigest()

    @cached_property
    def validators(self) -> tuple[str | None, str | None]:
        """What ETag and Last-Modified say."""
        return (f'"{self.sha256[:32]}"' if self.etag == "" else self.etag), self.modified

    @cached_property
    def whole_head(self) -> bytes:
        """The head of the answer 200 with all bytes; made once, for speed."""
        return head(200, *self.headers, f"Content-Length: {len(self.body)}")

    @property
    def headers(self) -> tuple[str, ...]:
        """What every answer with these bytes says."""
        etag, modified = self.validators
        lines = [f"Content-Type: {self.content_type}", "Accept-Ranges: bytes"]
        lines += [f"ETag: {etag}"] if etag else []
        lines += [f"Last-Modified: {modified}"] if modified else []
        return tuple(lines)


def head(status: int, *headers: str) -> bytes:
    """The head of an HTTP/1.1 answer, with the empty line that ends it."""
    return "\r\n".join((f"HTTP/1.1 {status} {PHRASES.get(status, 'Unknown')}", *headers, "", "")).encode("latin-1")


FILES: dict[str, tuple[str, float, int]] = {
    "hello-mulaw": ("hello.mulaw.wav", 4.611, 1),
    "hello-alaw": ("hello.alaw.wav", 4.611, 1),
    "hello-pcm": ("hello.pcm.wav", 4.611, 1),
    "hello-cbr": ("hello.cbr.mp3", 4.716, 1),
    "hello-vbr": ("hello.vbr.mp3", 4.611, 1),
    "hello-flac": ("hello.flac", 4.611, 1),
    "hello-ogg": ("hello.ogg", 4.611, 1),
    "hello-gsm": ("hello.gsm.wav", 4.64, 1),
    "call-mulaw": ("call.mulaw.wav", 11.556, 2),
    "call-pcm": ("call.pcm.wav", 11.556, 2),
    "call-cbr": ("call.cbr.mp3", 11.556, 2),
    "call-vbr": ("call.vbr.mp3", 11.556, 2),
    "call-mono-mulaw": ("call-mono.mulaw.wav", 11.556, 1),
    "call-mono-cbr": ("call-mono.cbr.mp3", 11.628, 1),
}
"""Audio name → (file in demo/audio/, seconds, channels).

Of the MP3s only `hello-cbr` has no Xing or Info tag: nothing tells when it was cut.
"""

LONG: dict[str, str] = {
    "long-cbr": "call-cbr",
    "long-vbr": "call-vbr",
    "long-mulaw": "call-mulaw",
    "long-mono-cbr": "call-mono-cbr",
    "long-mono-mulaw": "call-mono-mulaw",
}
"""Ten-minute audio → the short audio that is repeated in it."""

TAKES: dict[str, dict[tuple[str, int], str]] = {
    "hello": {("wav", 1): "hello-mulaw", ("wav", 2): "hello-mulaw", ("mp3", 1): "hello-cbr", ("mp3", 2): "hello-cbr"},
    "call": {
        ("wav", 1): "call-mono-mulaw",
        ("wav", 2): "call-mulaw",
        ("mp3", 1): "call-mono-cbr",
        ("mp3", 2): "call-cbr",
    },
    "long": {
        ("wav", 1): "long-mono-mulaw",
        ("wav", 2): "long-mulaw",
        ("mp3", 1): "long-mono-cbr",
        ("mp3", 2): "long-cbr",
    },
}
"""Take → (extension, channels) → audio name. `hello` was recorded with one channel only."""

NAMES = tuple(sorted((*FILES, *LONG, *TAKES), key=len, reverse=True))
"""Every name, longest first, so that `call-cbr-17` is a `call-cbr` and not a `call`."""


def find(name: str, extension: str = "wav", channels: int = 1, bulk_bytes: int = BULK_BYTES) -> Audio:
    """The audio of any recording name: no name is unknown.

    `bulk…` is a WAV of its own; a name that is, or begins with, a take or an audio (`call-vbr-17`) is that; any other
    is the take `hello` or `call`, always the same one for the same name.
    """
    if name.startswith("bulk"):
        return bulk(name, bulk_bytes)
    known = next((known for known in NAMES if name == known or name.startswith(known + "-")), None)
    if known is None:
        known = ("hello", "call")[hashlib.sha256(name.encode()).digest()[0] % 2]
    if known in TAKES:
        known = TAKES[known][extension if extension == "mp3" else "wav", min(channels, 2)]
    return load(known)


@lru_cache(maxsize=len(FILES) + len(LONG))
def load(name: str) -> Audio:
    """The audio with exactly this name; KeyError when there is none."""
    if name in LONG:
        return _lengthen(load(LONG[name]))
    file, seconds, channels = FILES[name]
    return Audio((AUDIO / file).read_bytes(), TYPES[file.rsplit(".", 1)[1]], seconds, channels)


@lru_cache(maxsize=64)
def bulk(name: str, size: int = BULK_BYTES) -> Audio:
    """A 16-bit PCM WAV (8 kHz, mono) of `size` bytes (even, at least 128): always the same, and unlike every other."""
    digest = hashlib.sha256(name.encode()).digest()
    pool = _speech(size)
    start = int.from_bytes(digest[:4], "big") % (len(pool) - size) & ~1
    sound = digest + pool[start : start + size - 44 - len(digest)]
    header = b"RIFF" + struct.pack("<I", size - 8) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", len(sound))
    return Audio(header + sound, TYPES["wav"], len(sound) / 16000, etag=f'"{digest.hex()[:24]}-{size:x}"')


@lru_cache(maxsize=4)
def _speech(size: int) -> bytes:
    """PCM samples to cut bulk audio from: one short piece over and over, longer than `size`."""
    with wave.open(io.BytesIO(load("hello-pcm").body)) as file:
        samples: bytes = file.readframes(file.getnframes())
    return samples * (size // len(samples) + 2)


def _lengthen(audio: Audio) -> Audio:
    """The same sound over and over for ten minutes."""
    if audio.content_type == TYPES["mp3"]:
        body = mp3.repeat(audio.body, LONG_SECONDS)
        return Audio(body, audio.content_type, mp3.duration(body), audio.channels)
    start = audio.body.index(b"data") + 8
    wanted = LONG_SECONDS * 8000 * audio.channels
    sound = audio.body[start:]
    sound = (sound * (wanted // len(sound) + 1))[:wanted]
    header = struct.pack("<HHIIHHH", WAVE_MULAW, audio.channels, 8000, 8000 * audio.channels, audio.channels, 8, 0)
    fact = b"fact" + struct.pack("<II", 4, LONG_SECONDS * 8000)
    parts = b"WAVEfmt " + struct.pack("<I", len(header)) + header + fact + b"data" + struct.pack("<I", wanted) + sound
    return Audio(b"RIFF" + struct.pack("<I", len(parts)) + parts, audio.content_type, LONG_SECONDS, audio.channels)
