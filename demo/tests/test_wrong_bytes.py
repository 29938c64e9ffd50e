"""Well-framed answers that are not the recording."""

import gzip

import pytest

from demo.provider import Provider
from demo.tests.client import HELLO, ask_hello


@pytest.mark.parametrize(
    ("name", "content_type", "start"),
    [
        ("html", "text/html; charset=utf-8", b"<!doctype html>"),
        ("html-as-audio", "audio/x-wav", b"<!doctype html>"),
        ("xml", "application/xml", b"<?xml"),
        ("json", "application/json", b"{"),
        ("empty", "audio/x-wav", b""),
        ("unsupported", "audio/x-wav", b"RIFF"),
        ("wrong-type", "audio/mpeg", b"RIFF"),
        ("half", "audio/x-wav", HELLO[:1000]),
    ],
)
def test_two_hundred_may_bring_something_else(provider: Provider, name: str, content_type: str, start: bytes) -> None:
    reply = ask_hello(provider, name)
    assert (reply.status, reply.end, reply.headers["content-type"]) == (200, "whole", content_type)
    assert reply.body.startswith(start)
    assert (reply.body == HELLO) == (name == "wrong-type")


def test_half_the_audio_comes_with_the_right_length_for_half(provider: Provider) -> None:
    reply = ask_hello(provider, "half")
    assert reply.headers["content-length"] == str(len(HELLO) // 2)
    assert reply.body == HELLO[: len(HELLO) // 2]
    assert reply.headers["etag"] != ask_hello(provider, "wrong-type").headers["etag"]


def test_no_content(provider: Provider) -> None:
    reply = ask_hello(provider, "no-content")
    assert (reply.status, reply.body, reply.end) == (204, b"", "whole")


def test_gzip_that_nobody_asked_for(provider: Provider) -> None:
    reply = ask_hello(provider, "gzip")
    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body) == HELLO


def test_a_gzip_bomb_unpacks_to_megabytes(provider: Provider) -> None:
    provider.misbehave("hello-gzip-bomb", "gzip-bomb", megabytes=8)
    reply = ask_hello(provider, "gzip-bomb")
    assert len(reply.body) < 20_000
    assert len(gzip.decompress(reply.body)) == 8 << 20
