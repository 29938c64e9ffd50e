"""Is it audio that can be played, is it whole, and how long? Answered from the bytes, never from a header or a name.

MP3 and FLAC are decoded from end to end: their headers claim the full length of half a file. In WAV with PCM, µ-law
or A-law every byte is a valid sample, so counting the bytes is decoding it. In Ogg Vorbis every page has a checksum. An
MP3 that declares no number of frames (no Xing, Info or VBRI header) can't be known to be half: the length of the
transfer must tell. Never more than a block of the file or of its samples is in memory. What is decoded is measured
on the way, for the waveform.
"""

import io
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import miniaudio

from recordings.download.errors import CutShort, NotAudio, StorageError, UnsupportedFormat
from recordings.download.mp3_header import Mp3Frame, after_id3_tags, declared_frames, mp3_frame
from recordings.download.ogg_pages import ogg_pages
from recordings.download.peaks import Meter, Peaks
from recordings.download.wav_header import wav_samples

_BLOCK_FRAMES = 65536  # 4 times faster than the decoder's default of 1024
_BLOCK_BYTES = 1 << 17  # most calls are read at once: at each system call a thread waits for the others
HEAD = 4096
"""Bytes from the start of a file that tell what it probably is."""


@dataclass(frozen=True)
class Audio:
    """What a whole, playable file holds: MIME type, duration in seconds, channels, samples a second, waveform.

    There is no waveform of Ogg Vorbis, which is not decoded.
    """

    content_type: str
    duration: float
    channels: int
    sample_rate: int
    peaks: Peaks | None = None


def inspect(path: Path) -> Audio:
    """Read the file from end to end. Raises NotAudio, UnsupportedFormat, CutShort; StorageError if it can't be read."""
    try:
        with path.open("rb", buffering=0) as raw:
            size = os.fstat(raw.fileno()).st_size
            file = io.BytesIO(raw.read(size)) if size <= _BLOCK_BYTES else io.BufferedReader(raw, _BLOCK_BYTES)
            head = file.read(HEAD)
            if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
                return _wav(file, size)
            start = after_id3_tags(file, size)
            file.seek(start)
            return _compressed(path, file, start, size, file.read(HEAD))
    except OSError as error:
        raise StorageError(f"The file could not be read: {error.strerror}.") from error
    except miniaudio.MiniaudioError as error:
        raise NotAudio("The file begins like audio and does not decode.") from error


def likely_type(head: bytes) -> str:
    """The MIME type that the first HEAD bytes of a file promise, "" for none. Only `inspect` knows."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "audio/wav"
    known = {b"fLaC": "audio/flac", b"OggS": "audio/ogg"}.get(head[:4], "")
    return "audio/mpeg" if not known and (head[:3] == b"ID3" or mp3_frame(head)) else known


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


# --- WAV: wav_header.py finds the samples -----------------------------------------------------------------------------


def _wav(file: BinaryIO, size: int) -> Audio:
    found = wav_samples(file, size)
    meter = Meter(found.channels, found.sample_rate, found.encoding)
    for block in _blocks(file, found.start, found.frames * found.frame_bytes, found.frame_bytes):
        meter.add(block)
    return _audio("audio/wav", found.frames, found.channels, found.sample_rate, meter)


def _blocks(file: BinaryIO, start: int, length: int, frame_bytes: int) -> Iterator[bytes]:
    """Whole frames."""
    file.seek(start)
    block = _BLOCK_BYTES // frame_bytes * frame_bytes
    while length:
        read = file.read(min(block, length))
        if len(read) < min(block, length):
            raise CutShort("The WAV became shorter while it was read.")
        yield read
        length -= len(read)


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
    meter = Meter(frame.channels, frame.sample_rate)
    decoded = _decode(miniaudio.mp3_stream_file(str(path.absolute()), _BLOCK_FRAMES), meter) // frame.channels
    if decoded < (declared_frames(first) - _TRIMMED_FRAMES) * frame.samples:
        raise CutShort("The MP3 has fewer frames than it declares.")
    return _audio("audio/mpeg", decoded, frame.channels, frame.sample_rate, meter)


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
    meter = Meter(channels, sample_rate)
    decoded = _decode(miniaudio.flac_stream_file(str(path.absolute()), _BLOCK_FRAMES), meter) // channels
    if decoded < declared:
        raise CutShort(f"The FLAC declares {declared} samples and {decoded} decode.")
    return _audio("audio/flac", decoded, channels, sample_rate, meter)


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


def _decode(blocks: "Iterable[array[int]]", meter: Meter) -> int:
    """How many samples there are; the meter has taken them."""
    samples = 0
    for block in blocks:
        meter.add(memoryview(block).cast("B"))
        samples += len(block)
    return samples


def _audio(content_type: str, decoded: int, channels: int, sample_rate: int, meter: Meter | None = None) -> Audio:
    if decoded <= 0 or not sample_rate or not channels:
        raise NotAudio("The file begins like audio and nothing in it decodes.")
    duration = decoded / sample_rate
    return Audio(content_type, duration, channels, sample_rate, meter.peaks(duration) if meter else None)


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
