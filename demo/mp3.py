"""Long MP3 files from short ones, by repeating frames (ISO 11172-3 and 13818-3, layer III only).

A frame repeats cleanly only when no frame borrows bits from the one before it: demo/make_audio.py encodes so
(lame --nores).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, cycle, islice

BITRATES = {
    # kbit/s by the header's four bits; 0 is "free" and 15 forbidden, neither is used here.
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES = (44100, 48000, 32000)
TAG_BYTES = 120
"""Xing or Info, flags, frames, bytes, a table of 100 places, quality."""


@dataclass(frozen=True)
class Frame:
    """One frame: its bytes and what its header says."""

    data: bytes
    version: int  # 1, 2, or 3 for "2.5"
    sample_rate: int
    channels: int

    @property
    def samples(self) -> int:
        """Samples per channel."""
        return 1152 if self.version == 1 else 576

    @property
    def tag_at(self) -> int:
        """Where a Xing or Info tag starts: after the header and the side information."""
        if self.version == 1:
            return 4 + (17 if self.channels == 1 else 32)
        return 4 + (9 if self.channels == 1 else 17)

    @property
    def is_tag(self) -> bool:
        """True for a first frame that holds no sound but says how many frames follow."""
        return self.data[self.tag_at : self.tag_at + 4] in (b"Xing", b"Info")


def frame_at(data: bytes, at: int) -> Frame:
    """The frame that starts at byte `at`; ValueError when none does."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:
        raise ValueError(f"no layer III frame at byte {at}")
    version = {3: 1, 2: 2, 0: 3}[(data[at + 1] >> 3) & 3]
    sample_rate = SAMPLE_RATES[(data[at + 2] >> 2) & 3] // (1, 2, 4)[version - 1]
    length = _length(version, data[at + 2] >> 4, sample_rate) + ((data[at + 2] >> 1) & 1)
    channels = 1 if data[at + 3] >> 6 == 3 else 2
    return Frame(data[at : at + length], version, sample_rate, channels)


def frames(data: bytes) -> Iterator[Frame]:
    """Every frame of a file that has no ID3 tag, without a leading Xing or Info frame."""
    at = 0
    while at < len(data):
        frame = frame_at(data, at)
        if at or not frame.is_tag:
            yield frame
        at += len(frame.data)


def repeat(data: bytes, seconds: float) -> bytes:
    """A file of the same sound over and over, at least `seconds` long (by less than a frame more).

    It begins with a tag frame that holds the true number of frames and bytes and where each hundredth of the time is,
    so that players show the right duration and find their place, also at a variable bitrate; a cut file is told by it.
    """
    sound = list(frames(data))
    first = sound[0]
    count = -(-int(seconds * first.sample_rate) // first.samples)
    body = [frame.data for frame in islice(cycle(sound), count)]
    constant = len({frame.data[2] >> 4 for frame in sound}) == 1
    return _tag_frame(first, b"Info" if constant else b"Xing", body) + b"".join(body)


def duration(data: bytes) -> float:
    """Seconds of sound."""
    sound = list(frames(data))
    return len(sound) * sound[0].samples / sound[0].sample_rate


def _length(version: int, bitrate_index: int, sample_rate: int) -> int:
    """Bytes of a frame without padding."""
    bitrate = BITRATES[1 if version == 1 else 2][bitrate_index] * 1000
    return (144 if version == 1 else 72) * bitrate // sample_rate


def _tag_frame(like: Frame, word: bytes, body: list[bytes]) -> bytes:
    """The silent first frame: a header like the others', with the smallest bitrate that has room for the tag."""
    need = like.tag_at + TAG_BYTES
    index = next(index for index in range(1, 15) if _length(like.version, index, like.sample_rate) >= need)
    length = _length(like.version, index, like.sample_rate)
    # The protection bit is set (no checksum), padding is cleared.
    header = bytes((0xFF, like.data[1] | 1, index << 4 | like.data[2] & 0x0C, like.data[3]))
    ends = [length, *accumulate((len(frame) for frame in body), initial=length)]
    total = ends[-1]
    table = bytes(min(255, ends[percent * len(body) // 100 + 1] * 256 // total) for percent in range(100))
    tag = word + struct.pack(">III", 0x0F, len(body), total) + table + struct.pack(">I", 100)
    return (header + bytes(like.tag_at - 4) + tag).ljust(length, b"\0")
