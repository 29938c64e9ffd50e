"""Heads and chunks are read to the letter: what a careful reader can see is seen."""

import io
import socket
from http.client import HTTPException, IncompleteRead

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.exchange import chunk
from recordings.download.errors import CutShort
from recordings.download.providers.chunks import Chunks, Head
from recordings.tests.fetching import World
from recordings.tests.raw_origin import RawOrigin, head

pieces = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def read(data: bytes, most: int = 16) -> bytes:
    chunks = Chunks(io.BufferedReader(io.BytesIO(data)))
    return b"".join(iter(lambda: chunks.read1(most), b""))


@given(pieces, st.integers(1, 64))
def test_what_is_in_the_chunks_comes_out(data: list[bytes], most: int) -> None:
    assert read(b"".join(map(chunk, (*data, b""))), most) == b"".join(data)


@given(pieces.filter(bool), st.data())
def test_a_body_that_is_cut_before_its_last_chunk_is_an_error(data: list[bytes], draw: st.DataObject) -> None:
    framed = b"".join(map(chunk, (*data, b"")))
    cut = draw.draw(st.integers(0, len(framed) - 3))
    with pytest.raises(IncompleteRead):
        read(framed[:cut])


@pytest.mark.parametrize(
    "end", [b"0\r\n", b"0\r\n\r", b"0\r\n\r\n", b"000;a=b\r\nX-Sum: 1\r\n\r\n", b"0\r\nX-Sum: 1\r\n"]
)
def test_the_last_chunk_ends_a_body_also_with_a_trailer_or_the_connection(end: bytes) -> None:
    assert read(chunk(b"abc") + end) == b"abc"


@pytest.mark.parametrize(
    "body",
    [
        b"4\r\nabc\r\n1000\r\n" + bytes(0x1000) + b"\r\n0\r\n\r\n",  # one more than it has: "1000" becomes "000"
        b"2\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcX\n0\r\n\r\n",
        b"0\r\nabc\r\n0\r\n\r\n",  # no size any more: the rest is no trailer
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"0\r\n" + b"X: y\r\n" * 200,
    ],
)
def test_a_wrong_byte_in_the_framing_is_an_error(body: bytes) -> None:
    with pytest.raises(HTTPException):
        read(body)


@pytest.mark.parametrize("whole", [b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", b"HTTP/1.1 200 OK\nA: b\n\n"])
def test_a_head_ends_with_an_empty_line_that_ends_like_its_first(whole: bytes) -> None:
    for cut in range(len(whole) + 1):
        lines = Head(io.BytesIO(whole[:cut]))
        while lines.readline().strip(b"\r\n"):
            pass
        if cut == len(whole):
            lines.require_end()
        else:
            with pytest.raises(IncompleteRead):
                lines.require_end()


def test_a_lone_line_feed_among_full_line_ends_is_no_end() -> None:
    lines = Head(io.BytesIO(b"HTTP/1.1 200 OK\r\n\nA: b\r\n\r\n"))
    lines.readline()
    lines.readline()
    with pytest.raises(IncompleteRead):
        lines.require_end()


def test_a_redirect_that_is_cut_in_its_address_leads_nowhere() -> None:
    with World() as world:

        def answer(_: RawOrigin, connection: socket.socket, path: str) -> bool:
            asked.append(path)
            connection.sendall(head("302 Found", "Content-Length: 0", "Location: /recordings/17")[:-5])
            return False

        asked: list[str] = []
        world.origin.answer = answer
        world.fails(CutShort)
        assert asked == ["/a.wav?token=hush"]
