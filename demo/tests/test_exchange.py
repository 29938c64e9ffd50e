"""Ranges, whole or in part."""

import pytest

from demo.library import MODIFIED, Audio, find
from demo.provider import Provider
from demo.tests.client import Client

AUDIO = find("hello", "wav", 2)


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("0-", 0, None), ("0-0", 0, 1), ("0-1", 0, 2), ("10-19", 10, 20), ("-5", -5, None), ("36000-99999", 36000, None)],
)
def test_a_range_is_answered_with_that_part(
    provider: Provider, wire: Client, wanted: str, start: int, end: int | None
) -> None:
    reply = wire.ask("/recordings/hello", Range=f"bytes={wanted}")
    part = AUDIO.body[start:end]
    first = range(len(AUDIO.body))[start]
    assert (reply.status, reply.body) == (206, part)
    assert reply.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(AUDIO.body)}"
    assert provider.count("hello").ranges == 1


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "bytes=5-1", "bytes=-", "bytes=x-", "lines=1-2"])
def test_a_range_that_is_not_understood_is_ignored(wire: Client, wanted: str) -> None:
    assert wire.ask("/recordings/hello", Range=wanted).status == 200


@pytest.mark.parametrize("wanted", [f"bytes={len(AUDIO.body)}-", "bytes=999999-", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(wire: Client, wanted: str) -> None:
    reply = wire.ask("/recordings/hello", Range=wanted)
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers["content-range"] == f"bytes */{len(AUDIO.body)}"


def test_if_range_gives_the_part_only_of_the_same_version(provider: Provider, wire: Client) -> None:
    etag, modified = AUDIO.validators
    assert etag is not None
    for condition, status in [(etag, 206), (MODIFIED, 206), (f"W/{etag}", 200), ('"other"', 200)]:
        assert wire.ask("/recordings/hello", Range="bytes=5-", If_Range=condition).status == status
    provider.put("hello", Audio(b"another version", "audio/x-wav"))
    assert wire.ask("/recordings/hello", Range="bytes=5-", If_Range=etag).body == b"another version"
    assert modified == MODIFIED


def test_a_weak_etag_is_never_good_enough_for_a_part(provider: Provider, wire: Client) -> None:
    provider.put("weak", Audio(b"0123456789", "audio/x-wav", etag='W/"1"', modified=None))
    assert wire.ask("/recordings/weak", Range="bytes=5-", If_Range='W/"1"').status == 200
