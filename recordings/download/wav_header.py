"""Where the samples of a WAV are, and how they are written: RIFF chunks; formats from Microsoft's mmreg.h."""

import os
import struct
from typing import BinaryIO, NamedTuple

from recordings.download import peaks
from recordings.download.errors import CutShort, NotAudio, UnsupportedFormat

_PCM, _ALAW, _ULAW, _EXTENSIBLE = 0x0001, 0x0006, 0x0007, 0xFFFE
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # after the format tag, in every subformat of this kind
_ENCODINGS = {  # by format and bits a sample
    (_PCM, 8): peaks.UNSIGNED_8, (_PCM, 16): peaks.SIGNED_16, (_PCM, 24): peaks.SIGNED_24, (_PCM, 32): peaks.SIGNED_32,
    (_ALAW, 8): peaks.ALAW, (_ULAW, 8): peaks.ULAW,
}  # fmt: skip
_MAX_CHANNELS = 32  # Chromium's limit
_UNKNOWN_LENGTH = 0x7FFFF000  # a writer into a pipe leaves 0, this (sox) or 0xFFFFFFFF (ffmpeg)
_MAX_CHUNKS = 256  # a file of millions of empty chunks must not keep a worker busy


class WavSamples(NamedTuple):
    """`frames` of `frame_bytes` each, a sample of every channel, from the byte `start` on; `sample_rate` a second."""

    start: int
    frames: int
    frame_bytes: int
    channels: int
    sample_rate: int
    encoding: peaks.Encoding


def wav_samples(file: BinaryIO, size: int) -> WavSamples:
    """Read the headers of a WAV of so many bytes. Raises CutShort, NotAudio, UnsupportedFormat."""
    file.seek(12)
    wav_format = None
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            raise CutShort("The WAV ends before its samples begin.")
        chunk, length = struct.unpack("<4sI", header)
        if chunk == b"data":
            return _samples(wav_format, length, file.tell(), size)
        body = file.read(min(length, 40)) if chunk == b"fmt " else b""
        if chunk == b"fmt ":
            wav_format = body
        file.seek(length - len(body) + (length & 1), os.SEEK_CUR)
    raise NotAudio("The WAV has no samples among its first chunks.")


def _samples(wav_format: bytes | None, declared: int, start: int, size: int) -> WavSamples:
    channels, sample_rate, bits, encoding = _format(wav_format)
    frame_bytes, there = channels * bits // 8, size - start
    streamed = declared == 0 or declared >= _UNKNOWN_LENGTH
    if declared > there and not streamed:
        raise CutShort(f"The WAV declares {declared} bytes of samples and has {there}.")
    frames = (there if streamed else declared) // frame_bytes
    if not frames:
        raise NotAudio("The WAV holds no samples.")
    return WavSamples(start, frames, frame_bytes, channels, sample_rate, encoding)


def _format(body: bytes | None) -> tuple[int, int, int, peaks.Encoding]:
    """Channels, samples a second, bits a sample, and how these are written."""
    if body is None or len(body) < 16:
        raise NotAudio("The WAV does not say its format before its samples.")
    tag, channels, sample_rate, _byte_rate, _align, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and body[26:40] == _SUBFORMAT_TAIL:
        (tag,) = struct.unpack_from("<H", body, 24)
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None or channels > _MAX_CHANNELS:
        raise UnsupportedFormat(f"The WAV has format 0x{tag:04x} with {bits} bits and {channels} channels.")
    if not channels or not sample_rate:
        raise NotAudio("The WAV has no channels or no sample rate.")
    return channels, sample_rate, bits, encoding
