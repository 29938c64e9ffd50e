"""Broken connections and wrong framing, as a plain socket sees them."""

import pytest

from demo.provider import Provider
from demo.tests.client import HELLO, Client, ask_hello, unchunk


def test_a_hang_up_is_no_answer(provider: Provider) -> None:
    reply = ask_hello(provider, "hang-up")
    assert (reply.raw, reply.end) == (b"", "closed")


def test_close_after_breaks_the_next_request(provider: Provider) -> None:
    with Client(provider) as client:
        assert client.ask("/recordings/hello-close-after").body == HELLO
        assert client.read().end == "closed"


def test_a_reset_in_the_headers(provider: Provider) -> None:
    reply = ask_hello(provider, "reset-headers")
    assert reply.end == "reset"
    assert reply.raw.startswith(b"HTTP/1.1 200 OK")
    assert b"\r\n\r\n" not in reply.raw
    assert provider.count("hello-reset-headers").bodies == 0


def test_a_reset_in_the_body(provider: Provider) -> None:
    reply = ask_hello(provider, "reset-body")
    assert reply.end == "reset"
    assert reply.body == HELLO[: len(HELLO) // 2]


@pytest.mark.parametrize("name", ["stall-start", "stall-headers", "stall-body"])
def test_a_stall_is_silence_until_the_client_leaves(provider: Provider, name: str) -> None:
    reply = ask_hello(provider, name, patience=0.2)
    assert reply.end == "open"
    expected = {"stall-start": b"", "stall-headers": b"", "stall-body": HELLO[: len(HELLO) // 2]}
    assert reply.body == expected[name]
    assert (reply.raw == b"") == (name == "stall-start")
    provider.counts.wait(lambda: provider.counts.at_once == 0, 5)
    assert provider.counts.at_once == 0


@pytest.mark.parametrize("name", ["stall-start", "stall-body", "endless", "drip", "gate-start", "slow-start"])
def test_a_stop_ends_what_is_being_answered(name: str) -> None:
    with Provider() as provider, Client(provider) as client:
        client.send(f"/recordings/hello-{name}")
        provider.wait_for(f"hello-{name}", requests=1)
        provider.stop()
        assert provider.connections == 0
        assert client.read().end in ("closed", "reset")


def test_garbage_is_not_http(provider: Provider) -> None:
    assert ask_hello(provider, "garbage").status == 0


def test_headers_may_not_end(provider: Provider) -> None:
    reply = ask_hello(provider, "endless-headers", at_most=1 << 20)
    assert b"\r\n\r\n" not in reply.raw
    assert len(reply.raw) > 1 << 20


@pytest.mark.parametrize(("name", "length"), [("short-body", len(HELLO) // 2), ("too-long", len(HELLO) + 64)])
def test_the_length_may_be_wrong(provider: Provider, name: str, length: int) -> None:
    reply = ask_hello(provider, name)
    assert reply.headers["content-length"] == str(len(HELLO))
    assert (len(reply.body), reply.end) == (length, "closed")
    assert provider.count(f"hello-{name}").bodies == 1
    assert provider.count(f"hello-{name}").whole == 0


def test_two_lengths(provider: Provider) -> None:
    assert ask_hello(provider, "conflicting-lengths").head.lower().count(b"content-length:") == 2


def test_chunked_is_whole(provider: Provider) -> None:
    reply = ask_hello(provider, "chunked")
    assert "content-length" not in reply.headers
    assert (unchunk(reply.body), reply.end) == (HELLO, "whole")


def test_a_cut_chunked_body_is_seen_as_cut(provider: Provider) -> None:
    reply = ask_hello(provider, "cut-chunked")
    assert reply.end == "closed"
    with pytest.raises(ValueError, match="cut"):
        unchunk(reply.body)


@pytest.mark.parametrize(
    ("name", "body"), [("close-delimited", HELLO), ("cut-close-delimited", HELLO[: len(HELLO) // 2])]
)
def test_a_body_without_any_length(provider: Provider, name: str, body: bytes) -> None:
    reply = ask_hello(provider, name)
    assert not {"content-length", "transfer-encoding"} & set(reply.headers)
    assert (reply.body, reply.end) == (body, "closed")


@pytest.mark.parametrize("name", ["endless", "enormous"])
def test_audio_without_end(provider: Provider, name: str) -> None:
    reply = ask_hello(provider, name, at_most=1 << 23)
    assert reply.end == "open"
    assert reply.headers.get("content-length") == {"endless": None, "enormous": str(10**12)}[name]


def test_a_part_that_nobody_asked_for(provider: Provider) -> None:
    reply = ask_hello(provider, "unasked-part")
    assert (reply.status, reply.body) == (206, HELLO[: len(HELLO) // 2])


def test_a_range_may_be_ignored(provider: Provider) -> None:
    reply = ask_hello(provider, "ignores-range", wanted="bytes=10-")
    assert (reply.status, reply.body) == (200, HELLO)
    assert provider.count("hello-ignores-range").ranges == 1
