"""The demo's audio: what it is, how long, and that it decodes."""

from pathlib import Path

import miniaudio
import pytest

from demo import library, mp3
from demo.library import FILES, LONG, TAKES, find, load

PLAYABLE = sorted({*FILES, *LONG} - {"hello-gsm"})


def seconds(body: bytes, channels: int = 1) -> float:
    """How long the body is once decoded at 8 kHz."""
    return float(miniaudio.decode(body, nchannels=channels, sample_rate=8000).num_frames) / 8000


@pytest.mark.parametrize("name", PLAYABLE)
def test_every_audio_decodes_to_its_duration(name: str) -> None:
    audio = load(name)
    assert audio.duration is not None
    assert seconds(audio.body, audio.channels) == pytest.approx(audio.duration, abs=0.1)


@pytest.mark.parametrize("name", sorted(LONG))
def test_the_long_ones_are_ten_minutes(name: str) -> None:
    assert load(name).duration == pytest.approx(600, abs=0.1)


@pytest.mark.parametrize("name", ["long-cbr", "long-vbr", "long-mono-cbr"])
def test_a_long_mp3_says_how_many_frames_and_bytes_it_has(name: str) -> None:
    body = load(name).body
    tag = mp3.frame_at(body, 0)
    assert tag.is_tag
    at = tag.tag_at
    assert tag.data[at : at + 4] == (b"Xing" if "vbr" in name else b"Info")
    assert int.from_bytes(tag.data[at + 8 : at + 12]) == len(list(mp3.frames(body)))
    assert int.from_bytes(tag.data[at + 12 : at + 16]) == len(body)
    places = tag.data[at + 16 : at + 116]
    assert list(places) == sorted(places)
    assert places[0] <= 1
    assert places[50] == pytest.approx(128, abs=3)


def test_a_long_mp3_cut_in_half_decodes_to_half() -> None:
    body = load("long-cbr").body
    assert seconds(body[: len(body) // 2], 2) == pytest.approx(300, abs=1)


def test_the_two_speakers_are_on_their_own_channels() -> None:
    audio = load("call-pcm")
    samples = miniaudio.decode(audio.body, nchannels=2, sample_rate=8000).samples
    left, right = samples[0::2], samples[1::2]
    assert max(left) > 5000
    assert max(right) > 5000
    assert sum(1 for one, other in zip(left, right, strict=True) if abs(one) > 500 and abs(other) > 500) == 0


def test_gsm_is_refused_by_the_decoder() -> None:
    with pytest.raises(miniaudio.DecodeError):
        miniaudio.decode(load("hello-gsm").body)


@pytest.mark.parametrize("take", sorted(TAKES))
@pytest.mark.parametrize("extension", ["wav", "mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_take_comes_as_the_extension_and_channels_say(take: str, extension: str, channels: int) -> None:
    audio = find(take, extension, channels)
    assert audio.content_type == ("audio/mpeg" if extension == "mp3" else "audio/x-wav")
    assert audio.channels == (1 if take == "hello" else channels)


def test_any_name_is_some_audio_and_always_the_same() -> None:
    assert find("RE" + "1" * 32).body == find("RE" + "1" * 32).body
    assert find("call-vbr-17") is load("call-vbr")


def test_bulk_audio_is_repeatable_and_distinct() -> None:
    made = {find(f"bulk-{number}").sha256 for number in range(200)}
    assert len(made) == 200
    library.bulk.cache_clear()
    assert find("bulk-7").sha256 in made
    assert len({find(f"bulk-{number}").validators for number in range(200)}) == 200


@pytest.mark.parametrize("size", [128, 100_000, 1_000_000])
def test_bulk_audio_has_the_size_asked_for_and_decodes(size: int) -> None:
    body = find("bulk-1", bulk_bytes=size).body
    assert len(body) == size
    assert seconds(body) == pytest.approx((size - 44) / 16000, abs=0.01)


def test_the_repository_holds_less_than_two_megabytes_of_audio() -> None:
    files = list(library.AUDIO.iterdir())
    assert {Path(file).name for file in files} == {file for file, _, _ in FILES.values()}
    assert sum(file.stat().st_size for file in files) < 2_000_000


def test_bytes_that_are_no_mp3_are_refused() -> None:
    with pytest.raises(ValueError, match="no layer III frame at byte 0"):
        list(mp3.frames(b"RIFF and more"))
