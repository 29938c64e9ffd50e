"""Misbehaviours on the wire: broken connections and wrong framing. demo/misbehaviour.py names them."""

from demo.exchange import Exchange, chunk
from demo.library import head

PIECE = 65536


def hang_up(exchange: Exchange) -> None:
    """The connection is closed without an answer."""
    exchange.keep = False


def close_after(exchange: Exchange) -> None:
    """Right, but the connection is closed after it without a word, so that the next request on it fails."""
    exchange.serve()
    exchange.keep = False


def reset_headers(exchange: Exchange) -> None:
    """Half the head, then RST."""
    answer = exchange.right()
    exchange.send(answer.head[: len(answer.head) // 2])
    exchange.reset()


def reset_body(exchange: Exchange, *, milliseconds: int = 0) -> None:
    """Half the body, then, after a while, RST."""
    _first_half(exchange)
    exchange.pause(milliseconds / 1000)
    exchange.reset()


def stall_start(exchange: Exchange) -> None:
    """Not a byte, ever."""
    exchange.hold()


def stall_headers(exchange: Exchange) -> None:
    """Half the head, then silence."""
    answer = exchange.right()
    exchange.send(answer.head[: len(answer.head) // 2])
    exchange.hold()


def stall_body(exchange: Exchange) -> None:
    """Half the body, then silence."""
    _first_half(exchange)
    exchange.hold()


def garbage(exchange: Exchange) -> None:
    """Not HTTP."""
    exchange.keep = False
    exchange.send(b"\x16\x03\x01 this is no status line\r\n\r\n")


def endless_headers(exchange: Exchange) -> None:
    """Header lines without end."""
    exchange.keep = False
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        exchange.send(b"X-More: and more\r\n" * 1000)


def short_body(exchange: Exchange, *, milliseconds: int = 0) -> None:
    """Half the body that Content-Length announces, then, after a while, a clean close."""
    exchange.keep = False
    _first_half(exchange)
    exchange.pause(milliseconds / 1000)


def too_long(exchange: Exchange) -> None:
    """More bytes than Content-Length announces."""
    exchange.keep = False
    answer = exchange.right()
    exchange.begin(answer.status, answer.head, bytes(answer.body) + b"and more" * 8)


def conflicting_lengths(exchange: Exchange) -> None:
    """Two Content-Length headers that differ."""
    exchange.keep = False
    body = exchange.audio.body
    lengths = f"Content-Length: {len(body)}", f"Content-Length: {len(body) // 2}"
    exchange.begin(200, head(200, *exchange.audio.headers, *lengths), body)


def chunked(exchange: Exchange, *, cut: bool = False) -> None:
    """The right bytes without a length: chunked; `cut`: closed before the last chunk, in the middle of one."""
    body = exchange.audio.body[: len(exchange.audio.body) // 2] if cut else exchange.audio.body
    exchange.begin(200, head(200, *exchange.audio.headers, "Transfer-Encoding: chunked"))
    for at in range(0, len(body), PIECE):
        exchange.send(chunk(body[at : at + PIECE]))
    if cut:
        exchange.keep = False
        exchange.send(b"1000\r\nbut not so many")
    else:
        exchange.send(chunk(b""))


def close_delimited(exchange: Exchange, *, cut: bool = False) -> None:
    """The right bytes with no length: nobody can tell whether the close is the end. `cut`: only half of them."""
    exchange.keep = False
    body = exchange.audio.body
    exchange.begin(
        200, head(200, *exchange.audio.headers, "Connection: close"), body[: len(body) // 2] if cut else body
    )


def endless(exchange: Exchange, *, content_length: int | None = None) -> None:
    """Audio without end: chunked, or under an enormous Content-Length."""
    exchange.keep = False
    framing = "Transfer-Encoding: chunked" if content_length is None else f"Content-Length: {content_length}"
    exchange.begin(200, head(200, *exchange.audio.headers, framing))
    body = exchange.audio.body
    while True:
        exchange.send(body if content_length is not None else chunk(body))


def unasked_part(exchange: Exchange) -> None:
    """206 with the first half, for a request without Range."""
    body = exchange.audio.body
    half = max(1, len(body) // 2)
    sizes = f"Content-Range: bytes 0-{half - 1}/{len(body)}", f"Content-Length: {half}"
    exchange.begin(206, head(206, *exchange.audio.headers, *sizes), body[:half])


def ignores_range(exchange: Exchange) -> None:
    """200 and the whole, also when a part was asked for."""
    exchange.headers = {}
    exchange.serve()


def _first_half(exchange: Exchange) -> None:
    answer = exchange.right()
    exchange.begin(answer.status, answer.head, answer.body[: len(answer.body) // 2])
