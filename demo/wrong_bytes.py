"""Misbehaviours in well-framed answers: the bytes are not the recording. demo/misbehaviour.py names them."""

import gzip
from dataclasses import replace
from functools import lru_cache

from demo.exchange import Exchange
from demo.library import head, load


def page(exchange: Exchange, *, body: str, content_type: str) -> None:
    """200 with a text of ours instead of audio."""
    data = body.encode()
    exchange.begin(200, head(200, f"Content-Type: {content_type}", f"Content-Length: {len(data)}"), data)


def no_content(exchange: Exchange) -> None:
    """204."""
    exchange.begin(204, head(204))


def half(exchange: Exchange) -> None:
    """Half the audio, with the right length and validators for the half: only decoding shows it."""
    body = exchange.audio.body
    exchange.audio = replace(exchange.audio, body=body[: len(body) // 2], etag="")
    exchange.serve()


def unsupported(exchange: Exchange) -> None:
    """Real audio in a format that the product refuses (GSM in a WAV)."""
    exchange.audio = load("hello-gsm")
    exchange.serve()


def wrong_type(exchange: Exchange) -> None:
    """The right bytes under another audio's type."""
    other = "audio/mpeg" if "wav" in exchange.audio.content_type else "audio/x-wav"
    exchange.audio = replace(exchange.audio, content_type=other)
    exchange.serve()


def gzipped(exchange: Exchange) -> None:
    """The right bytes, compressed, although nobody asked for that."""
    data = gzip.compress(exchange.audio.body, mtime=0)
    lines = *exchange.audio.headers, "Content-Encoding: gzip", f"Content-Length: {len(data)}"
    exchange.begin(200, head(200, *lines), data)


def gzip_bomb(exchange: Exchange, *, megabytes: int = 256) -> None:
    """A few hundred kilobytes that unpack to very many."""
    data = _zeros(megabytes)
    lines = *exchange.audio.headers, "Content-Encoding: gzip", f"Content-Length: {len(data)}"
    exchange.begin(200, head(200, *lines), data)


@lru_cache(maxsize=2)
def _zeros(megabytes: int) -> bytes:
    # Members of a gzip file may follow each other (RFC 1952 section 2.2).
    return gzip.compress(bytes(1 << 20), mtime=0) * megabytes
