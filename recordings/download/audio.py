"""Is it audio that can be played, is it whole, and how long? Answered from the bytes, never from a header or a name.

MP3 and FLAC are decoded from end to end: their headers claim the full length of half a file. In WAV with PCM, µ-law
or A-law every byte is a valid sample, so counting the bytes is decoding it. In Ogg Vorbis every page has a checksum. An
MP3 that declares no number of frames (no Xing, Info or VBRI header) can't be known to be half: the length of the
transfer must tell. Never more than a block of the file or of its samples is in memory.
"""

import os
import struct
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import miniaudio

from recordings.download.errors import CutShort, NotAudio, StorageError, UnsupportedFormat
from recordings.download.mp3_header import Mp3Frame, after_id3_tags, declared_frames, mp3_frame
from recordings.download.ogg_pages import ogg_pages

_BLOCK_FRAMES = 65536  # 4 times faster than the decoder's default of 1024
_HEAD = 4096
_MAX_CHUNKS = 256  # a file of millions of empty chunks must not keep a worker busy


@dataclass(frozen=True)
class Audio:
    """What a whole, playable file holds: MIME type, duration in seconds, channels, samples a second."""

    content_type: str
    duration: float
    channels: int
    sample_rate: int


def inspect(path: Path) -> Audio:
    """Read the file from end to end. Raises NotAudio, UnsupportedFormat, CutShort; StorageError if it can't be read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_HEAD)
            if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
                return _wav(file, size)
            start = after_id3_tags(file, size)
            file.seek(start)
            return _compressed(path, file, start, size, file.read(_HEAD))
    except OSError as error:
        raise StorageError(f"The file could not be read: {error.strerror}.") from error
    except miniaudio.MiniaudioError as error:
        raise NotAudio("The file begins like audio and does not decode.") from error


def _compressed(path: Path, file: BinaryIO, start: int, size: int, head: bytes) -> Audio:
    if head[:4] == b"fLaC":
        return _flac(path, file, start, size)
    if head[:4] == b"OggS":
        return _ogg_vorbis(file, start)
    frame = mp3_frame(head)
    if frame is not None:
        return _mp3(path, file, start, size, frame)
    for name, (at, signatures) in _NOT_PLAYED_HERE.items():
        if head.startswith(signatures, at):
            raise UnsupportedFormat(f"The audio is {name}.")
    raise NotAudio(_what_it_is(head))


# --- WAV: RIFF chunks; formats from Microsoft's mmreg.h --------------------------------------------------------------

_PCM, _ALAW, _ULAW, _EXTENSIBLE = 0x0001, 0x0006, 0x0007, 0xFFFE
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # after the format tag, in every subformat of this kind
_BITS = {_PCM: (8, 16, 24, 32), _ALAW: (8,), _ULAW: (8,)}
_MAX_CHANNELS = 32  # Chromium's limit
_UNKNOWN_LENGTH = 0x7FFFF000  # a writer into a pipe leaves 0, this (sox) or 0xFFFFFFFF (ffmpeg)


def _wav(file: BinaryIO, size: int) -> Audio:
    file.seek(12)
    wav_format = None
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            raise CutShort("The WAV ends before its samples begin.")
        chunk, length = struct.unpack("<4sI", header)
        if chunk == b"data":
            return _wav_samples(wav_format, length, size - file.tell())
        body = file.read(min(length, 40)) if chunk == b"fmt " else b""
        if chunk == b"fmt ":
            wav_format = body
        file.seek(length - len(body) + (length & 1), os.SEEK_CUR)
    raise NotAudio("The WAV has no samples among its first chunks.")


def _wav_samples(wav_format: bytes | None, declared: int, there: int) -> Audio:
    channels, sample_rate, frame_bytes = _wav_format(wav_format)
    streamed = declared == 0 or declared >= _UNKNOWN_LENGTH
    if declared > there and not streamed:
        raise CutShort(f"The WAV declares {declared} bytes of samples and has {there}.")
    frames = (there if streamed else declared) // frame_bytes
    if not frames:
        raise NotAudio("The WAV holds no samples.")
    return Audio("audio/wav", frames / sample_rate, channels, sample_rate)


def _wav_format(body: bytes | None) -> tuple[int, int, int]:
    """Channels, samples a second, and bytes of one sample of all channels."""
    if body is None or len(body) < 16:
        raise NotAudio("The WAV does not say its format before its samples.")
    tag, channels, sample_rate, _byte_rate, _align, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and body[26:40] == _SUBFORMAT_TAIL:
        (tag,) = struct.unpack_from("<H", body, 24)
    if tag not in _BITS or bits not in _BITS[tag] or channels > _MAX_CHANNELS:
        raise UnsupportedFormat(f"The WAV has format 0x{tag:04x} with {bits} bits and {channels} channels.")
    if not channels or not sample_rate:
        raise NotAudio("The WAV has no channels or no sample rate.")
    return channels, sample_rate, channels * bits // 8


# --- MP3: mp3_header.py reads the frame headers -----------------------------------------------------------------------

_TRIMMED_FRAMES = 4  # the decoder drops the encoder's delay and padding, and a last frame that a tag follows


def _mp3(path: Path, file: BinaryIO, start: int, size: int, frame: Mp3Frame) -> Audio:
    if start + frame.length > size:
        raise CutShort("The MP3 ends inside its first frame.")
    file.seek(start)
    first, following = file.read(frame.length), file.read(4)
    second = mp3_frame(following)
    if following and (second is None or second.sample_rate != frame.sample_rate):
        raise NotAudio("The file begins like an MP3 and does not go on like one.")
    decoded = _count(miniaudio.mp3_stream_file(str(path.absolute()), _BLOCK_FRAMES)) // frame.channels
    if decoded < (declared_frames(first) - _TRIMMED_FRAMES) * frame.samples:
        raise CutShort("The MP3 has fewer frames than it declares.")
    return _audio("audio/mpeg", decoded, frame.channels, frame.sample_rate)


# --- FLAC: RFC 9639 ---------------------------------------------------------------------------------------------------


def _flac(path: Path, file: BinaryIO, start: int, size: int) -> Audio:
    file.seek(start + 8)
    info = file.read(34)  # STREAMINFO is the first metadata block (§8.2)
    if len(info) < 34:
        raise CutShort("The FLAC ends inside its header.")
    packed = int.from_bytes(info[10:18], "big")  # 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples
    sample_rate, channels, declared = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    at, last = start + 4, False
    while not last:  # the metadata blocks, each with a header of 4 bytes (§8.1)
        file.seek(at)
        header = file.read(4)
        at += 4 + int.from_bytes(header[1:], "big")
        if len(header) < 4 or at > size:
            raise CutShort("The FLAC ends inside its metadata.")
        last = bool(header[0] & 0x80)
    decoded = _count(miniaudio.flac_stream_file(str(path.absolute()), _BLOCK_FRAMES)) // channels
    if decoded < declared:
        raise CutShort(f"The FLAC declares {declared} samples and {decoded} decode.")
    return _audio("audio/flac", decoded, channels, sample_rate)


# --- Ogg Vorbis: RFC 3533 (pages) and the Vorbis I specification (§4.2.2, identification) -----------------------------


def _ogg_vorbis(file: BinaryIO, start: int) -> Audio:
    """Whole when every page is right and the last is there. Not decoded: damaged files crash stb_vorbis."""
    file.seek(start)
    samples, channels, sample_rate = -1, 0, 0
    for page in ogg_pages(file):
        if page.number == 0:
            if page.body[:7] != b"\x01vorbis" or len(page.body) < 16:
                raise UnsupportedFormat("The Ogg file does not hold Vorbis.")
            channels, sample_rate = page.body[11], int.from_bytes(page.body[12:16], "little")
        samples = max(samples, page.granule)
    return _audio("audio/ogg", samples, channels, sample_rate)


# --- all of them ------------------------------------------------------------------------------------------------------


def _count(blocks: Iterable[Sized]) -> int:
    return sum(map(len, blocks))


def _audio(content_type: str, decoded: int, channels: int, sample_rate: int) -> Audio:
    if decoded <= 0 or not sample_rate or not channels:
        raise NotAudio("The file begins like audio and nothing in it decodes.")
    return Audio(content_type, decoded / sample_rate, channels, sample_rate)


_NOT_PLAYED_HERE: dict[str, tuple[int, tuple[bytes, ...]]] = {  # what is found, and where in the file
    "MP4 or AAC in it": (4, (b"ftyp",)),
    "AAC": (0, (b"ADIF", b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9")),
    "MPEG layer II": (0, (b"\xff\xfc", b"\xff\xfd", b"\xff\xf4", b"\xff\xf5")),
    "AIFF": (8, (b"AIFF", b"AIFC")),
    "a kind of WAV for large files (RF64, RIFX, Wave64)": (0, (b"RF64", b"BW64", b"RIFX", b"riff")),
    "AU": (0, (b".snd",)),
    "AMR": (0, (b"#!AMR",)),
    "Matroska or WebM": (0, (b"\x1a\x45\xdf\xa3",)),
    "Windows Media": (0, (b"\x30\x26\xb2\x75",)),
    "Core Audio": (0, (b"caff",)),
    "WavPack": (0, (b"wvpk",)),
}


def _what_it_is(head: bytes) -> str:
    """For operators, and without a byte of the body itself: it may hold a secret."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "The body is empty."
    if text.startswith((b"<!doctype html", b"<html")):
        return "The body is HTML."
    if text.startswith(b"<"):
        return "The body is XML or HTML."
    if text.startswith((b"{", b"[")):
        return "The body is JSON."
    if text.decode("utf-8", "replace").replace("\n", " ").isprintable():
        return "The body is text."
    return "The body is not audio of any kind we know."
