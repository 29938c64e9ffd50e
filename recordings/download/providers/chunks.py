"""A body in chunks, and a head, read to the letter (RFC 9112), where the standard library guesses.

It takes the end of a connection for the end of the headers, so that half a redirect leads to another recording; it
drops the two bytes behind a chunk without a look, so that one wrong digit of a size ends a body early; and it takes
whatever follows the last chunk for a trailer. What is raised here is the library's own: the caller knows what to make
of that.
"""

import io
import re
from http.client import HTTPException, IncompleteRead

_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*\r\n")
_LONGEST_LINE = 65_536
_MOST_FIELDS = 100


class Head:
    """A reader of lines that knows afterwards whether the last one was the empty line, or the head was cut."""

    def __init__(self, reader: io.BufferedIOBase) -> None:
        self._reader = reader
        self._first = self._last = b""

    def readline(self, limit: int = -1) -> bytes:
        """See io.IOBase.readline."""
        self._last = self._reader.readline(limit)
        self._first = self._first or self._last
        return self._last

    def close(self) -> None:
        """See io.IOBase.close."""
        self._reader.close()

    def require_end(self) -> None:
        """Raise IncompleteRead when the connection ended before the head did, or in the middle of a line.

        The empty line ends as the first one does: where that has CRLF, a single LF is a broken byte.
        """
        if self._last != (b"\r\n" if self._first.endswith(b"\r\n") else b"\n"):
            raise IncompleteRead(b"")


class Chunks:
    """What is in the chunks of one body. Raises IncompleteRead when it ends early, HTTPException when it is none."""

    def __init__(self, reader: io.BufferedReader) -> None:
        self._reader = reader
        self._left = 0
        self._is_first = True
        self.ended = False

    def read1(self, most: int) -> bytes:
        """What is there, at most `most` bytes and of one chunk; empty once the last chunk and its trailer are read."""
        if self.ended:
            return b""
        if not self._left and not self._begin():
            return b""
        data = self._reader.read1(min(most, self._left) if most >= 0 else self._left)
        if not data:
            raise IncompleteRead(b"")
        self._left -= len(data)
        return data

    def _begin(self) -> bool:
        """Go on to the next chunk; False when the one that begins is the last, which is empty."""
        if not self._is_first and self._line() != b"\r\n":
            raise HTTPException("a chunk that does not end where its size says")
        self._is_first = False
        size = _SIZE.fullmatch(self._line())
        if size is None:
            raise HTTPException("a chunk without a size")
        self._left = int(size[1], 16)
        if not self._left:
            self._read_trailer()
        return self._left > 0

    def _read_trailer(self) -> None:
        """Fields nobody asked for, and the empty line. The connection's end does as well: all chunks are here."""
        for _ in range(_MOST_FIELDS):
            line = self._reader.readline(_LONGEST_LINE)
            if line == b"\r\n" or b"\r\n".startswith(line):
                self.ended = True
                return
            if _FIELD.fullmatch(line) is None:
                break
        raise HTTPException("more after the last chunk")

    def _line(self) -> bytes:
        line = self._reader.readline(_LONGEST_LINE)
        if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
            raise IncompleteRead(b"")
        return line
