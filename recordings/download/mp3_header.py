"""What the first bytes of an MP3 say: ISO 11172-3 and 13818-3 (layer III), the Xing, Info and VBRI headers, ID3v2."""

from dataclasses import dataclass
from typing import BinaryIO

from recordings.download.errors import CutShort

_MPEG1, _RESERVED = 3, 1
_RATES = {_MPEG1: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # MPEG 1, 2, 2.5
_KBITS_MPEG1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_MPEG2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MONO = 3
_HEAD = 4096


@dataclass(frozen=True)
class Mp3Frame:
    """One frame's header: samples a second, channels, samples of each channel in it, its length in bytes."""

    sample_rate: int
    channels: int
    samples: int
    length: int


def mp3_frame(head: bytes) -> Mp3Frame | None:
    """The frame header at the start of `head`; None if there is none, or of "free format", which browsers refuse."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # eleven bits of sync, layer III
        return None
    version, bitrate, rate, padding = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == _RESERVED or rate == 3 or bitrate in (0, 15):
        return None
    sample_rate, samples = _RATES[version][rate], 1152 if version == _MPEG1 else 576
    kbits = (_KBITS_MPEG1 if version == _MPEG1 else _KBITS_MPEG2)[bitrate - 1]
    length = samples // 8 * kbits * 1000 // sample_rate + padding
    return Mp3Frame(sample_rate, 1 if head[3] >> 6 == _MONO else 2, samples, length)


def declared_frames(frame: bytes) -> int:
    """How many frames the first one (given whole) says will follow; 0 when it does not say."""
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big")
    at = max(frame.find(b"Xing", 4, 48), frame.find(b"Info", 4, 48))
    has_count = at > 0 and len(frame) >= at + 12 and frame[at + 7] & 1
    return int.from_bytes(frame[at + 8 : at + 12], "big") if has_count else 0


def after_id3_tags(file: BinaryIO, size: int) -> int:
    """Where the audio starts: after ID3v2 tags (id3.org, 2.4 §3.1) and the zeros that some writers leave after them.

    Raises CutShort when the file, `size` bytes long, ends inside a tag.
    """
    start = 0
    while True:
        file.seek(start)
        head = file.read(_HEAD)
        if head[:3] != b"ID3" or len(head) < 10:
            return start + len(head) - len(head.lstrip(b"\0")) if start else 0
        a, b, c, d = (byte & 0x7F for byte in head[6:10])
        start += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if head[5] & 0x10 else 0)
        if start >= size:
            raise CutShort("The file ends inside its ID3 tag.")
