"""The pages of an Ogg stream, each verified by its checksum: RFC 3533 §6."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from recordings.download.errors import CutShort

_HEADER = struct.Struct("<4sBBq4sIIB")
_END_OF_STREAM = 4
_CHECKSUM = slice(22, 26)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class OggPage:
    """One page: its number in its stream, the codec's position at its end (-1 where no packet ends), its payload."""

    number: int
    granule: int
    body: bytes


def ogg_pages(file: BinaryIO) -> Iterator[OggPage]:
    """The pages of the stream that begins here, to its last. CutShort if one is missing, damaged or cut."""
    ours, expected, ended = None, 0, False
    while not ended:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or header[:5] != b"OggS\0":
            raise CutShort("The Ogg stream does not come to its end.")
        _magic, _version, flags, granule, serial, number, checksum, segments = _HEADER.unpack(header)
        lacing = file.read(segments)
        body = file.read(sum(lacing))
        if _checksum(header, lacing, body) != checksum:
            raise CutShort("A page of the Ogg stream is damaged or cut.")
        ours = serial if ours is None else ours
        if serial != ours:  # another stream between its pages
            continue
        if number != expected:
            raise CutShort("A page of the Ogg stream is missing.")
        yield OggPage(number, granule, body)
        expected, ended = expected + 1, bool(flags & _END_OF_STREAM)


def _checksum(header: bytes, lacing: bytes, body: bytes) -> int:
    """Ogg's CRC-32 takes the high bit first and zlib's the low one: reverse every byte, and the result."""
    page = header[: _CHECKSUM.start] + bytes(4) + header[_CHECKSUM.stop :] + lacing + body
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
