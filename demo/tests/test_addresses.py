"""URLs, SIDs and names."""

import re

import pytest

from demo.addresses import MARK, SID_AUDIO, SID_MISBEHAVIOUR, Address, parse, read_name, recording_sid
from demo.library import NAMES
from demo.misbehaviour import TABLE

SID = "RE" + "0" * 31 + "1"
ACCOUNT = "AC" + "1" * 32
TWILIO = f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (TWILIO + SID, Address(SID, SID, "wav", 1, ACCOUNT)),
        (TWILIO + SID + ".mp3", Address(SID, SID, "mp3", 1, ACCOUNT)),
        (TWILIO + SID + ".json", Address(SID, SID, "json", 1, ACCOUNT)),
        (TWILIO + SID + ".wav?RequestedChannels=2", Address(SID, SID, "wav", 2, ACCOUNT)),
        ("/recordings/call", Address("call", "call", "wav", 2)),
        ("/recordings/call.mp3", Address("call", "call", "mp3", 2)),
        ("/recordings/a%2Db?hop=2", Address("a-b", "a-b", "wav", 2, hop=2)),
        ("/recordings/call-gone", Address("call-gone", "call", "wav", 2, misbehaviour="gone")),
    ],
)
def test_a_url_means_a_recording(target: str, expected: Address) -> None:
    assert parse(target) == expected


@pytest.mark.parametrize(
    "target",
    ["/", "/recordings/", "/recordings/a/b", "/recordings/../etc/passwd", "/recordings/%2e%2e%2fa", TWILIO + "CA1"],
)
def test_other_urls_mean_nothing(target: str) -> None:
    assert parse(target) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("call-vbr-17-slow", ("call-vbr-17", "slow", None)),
        ("hello-html-x1", ("hello", "html", 1)),
        ("gone", ("hello", "gone", None)),
        ("call-cut-chunked", ("call", "cut-chunked", None)),
        ("call-chunked", ("call", "chunked", None)),
        ("bulk-000123", ("bulk-000123", None, None)),
        ("thegone", ("thegone", None, None)),
        ("box-x2", ("box-x2", None, None)),
    ],
)
def test_a_name_may_end_in_a_misbehaviour(name: str, expected: tuple[str, str | None, int | None]) -> None:
    assert read_name(name) == expected


@pytest.mark.parametrize("misbehaviour", [None, *TABLE])
def test_a_sid_carries_its_audio_and_misbehaviour(misbehaviour: str | None) -> None:
    sid = recording_sid(41, "long", misbehaviour)
    assert re.fullmatch(r"RE[0-9a-f]{32}", sid)
    address = parse(TWILIO + sid)
    assert address is not None
    assert (address.audio, address.misbehaviour) == ("long", misbehaviour)


def test_no_two_words_share_a_digest() -> None:
    assert len(SID_AUDIO) == len(NAMES) + 1
    assert len(SID_MISBEHAVIOUR) == len(TABLE)
    assert "0000" not in SID_MISBEHAVIOUR


def test_a_bulk_sid_is_a_bulk_audio_of_its_own() -> None:
    sid = recording_sid(7, "bulk")
    address = parse(TWILIO + sid)
    assert address is not None
    assert address.audio == f"bulk-{sid}"
    assert sid.startswith(MARK)


@pytest.mark.parametrize(("audio", "misbehaviour"), [("nothing", None), ("call", "nothing")])
def test_a_sid_of_unknown_words_is_refused(audio: str, misbehaviour: str | None) -> None:
    with pytest.raises(ValueError, match="nothing"):
        recording_sid(1, audio, misbehaviour)
