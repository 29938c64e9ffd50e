"""The waveform says how loud each slice is, whichever way the samples are written."""

import array
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path

import miniaudio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings.download import peaks as module
from recordings.download.audio import inspect
from recordings.download.peaks import MOST_SLICES, SIGNED_16, UNSIGNED_8, Encoding, Meter, Peaks
from recordings.tests.test_audio import ALAW, EXTENSIBLE, PCM, ULAW, chunk, extensible, wav_format

RATE = 8000
Measure = Callable[[bytes], Peaks]


@pytest.fixture
def measured(tmp_path: Path) -> Measure:
    def measure(content: bytes) -> Peaks:
        path = tmp_path / "recording"
        path.write_bytes(content)
        found = inspect(path).peaks
        assert found is not None
        assert found.duration == inspect(path).duration
        return found

    return measure


def tone(seconds: float, loudness: float) -> list[float]:
    """A sine of 500 Hz, which reaches its peak in every slice; -1 to 1."""
    return [loudness * math.sin(math.pi * at / 8) for at in range(int(seconds * RATE))]


SILENCE, LOUD, HALF = tone(0.5, 0), tone(0.5, 0.999), tone(0.5, 0.5)
ONE = SILENCE + LOUD + HALF + SILENCE
EXPECTED = [0] * 10 + [100] * 10 + [50] * 10 + [0] * 10

ULAW_BIAS, ULAW_CLIP = 132, 32635


def ulaw(sample: float) -> int:
    """One sample as µ-law (ITU-T G.711)."""
    magnitude = min(int(abs(sample) * 32767), ULAW_CLIP) + ULAW_BIAS
    exponent = magnitude.bit_length() - 8
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | magnitude >> (exponent + 3) & 15) & 0xFF


def alaw(sample: float) -> int:
    """One sample as A-law (ITU-T G.711)."""
    magnitude = min(int(abs(sample) * 32767), 32767) >> 3
    exponent = max(0, magnitude.bit_length() - 5)
    mantissa = (magnitude >> max(1, exponent)) & 15
    return ((0 if sample < 0 else 0x80) | exponent << 4 | mantissa) ^ 0x55


def signed(size: int) -> Callable[[float], bytes]:
    return lambda sample: int(sample * ((1 << (8 * size - 1)) - 1)).to_bytes(size, "little", signed=True)


WAYS: dict[str, tuple[int, int, bytes, Callable[[float], bytes]]] = {
    "pcm 8": (PCM, 8, b"", lambda sample: bytes([128 + int(sample * 127)])),
    "pcm 16": (PCM, 16, b"", signed(2)),
    "pcm 24": (PCM, 24, b"", signed(3)),
    "pcm 32": (PCM, 32, b"", signed(4)),
    "mu-law": (ULAW, 8, b"\0\0", lambda sample: bytes([ulaw(sample)])),
    "a-law": (ALAW, 8, b"\0\0", lambda sample: bytes([alaw(sample)])),
    "extensible": (EXTENSIBLE, 24, extensible(PCM, 24), signed(3)),
}


def written(way: str, channels: list[list[float]], rate: int = RATE, after: bytes = b"") -> bytes:
    tag, bits, extra, written_as = WAYS[way]
    data = b"".join(written_as(sample) for frame in zip(*channels, strict=True) for sample in frame)
    body = b"WAVE" + wav_format(tag, bits, len(channels), rate, extra) + chunk(b"data", data) + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


def about(expected: list[int], tolerance: float = 2) -> object:
    return pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("way", WAYS)
def test_a_wav_says_where_it_is_loud_and_where_silent(way: str, measured: Measure) -> None:
    (lane,) = measured(written(way, [ONE])).lanes
    assert lane == about(EXPECTED)


@pytest.mark.parametrize("way", WAYS)
def test_stereo_says_who_spoke_when(way: str, measured: Measure) -> None:
    agent, customer = LOUD + SILENCE + SILENCE, SILENCE + SILENCE + HALF
    lanes = measured(written(way, [agent, customer])).lanes
    assert lanes == [about([100] * 10 + [0] * 20), about([0] * 20 + [50] * 10)]


def test_of_more_channels_the_first_two_are_told(measured: Measure) -> None:
    lanes = measured(written("pcm 16", [LOUD, HALF, SILENCE])).lanes
    assert lanes == [about([100] * 10), about([50] * 10)]


def test_what_follows_the_samples_is_not_heard(measured: Measure) -> None:
    (lane,) = measured(written("pcm 16", [SILENCE], after=chunk(b"LIST", b"\xff\x7f" * 5000))).lanes
    assert lane == [0] * 10


def test_the_most_negative_sample_is_full_scale(measured: Measure) -> None:
    body = b"WAVE" + wav_format(PCM, 16, 2, RATE) + chunk(b"data", b"\0\x80\0\0" * 800)
    assert measured(b"RIFF" + struct.pack("<I", len(body)) + body).lanes == [[100, 100], [0, 0]]


@pytest.mark.parametrize("rate", [1, 7, 8000, 11025, 44100])
def test_any_recording_has_a_slice_at_least_and_twenty_a_second_at_most(rate: int, measured: Measure) -> None:
    for frames in (1, rate, 3 * rate):
        (lane,) = measured(written("pcm 8", [[0.5] * frames], rate)).lanes
        assert 1 <= len(lane) <= frames / rate * 20.1 + 1
        assert lane == about([50] * len(lane))


def test_ninety_seconds_have_the_most_slices_and_longer_ones_no_more(measured: Measure) -> None:
    for seconds, slices in ((89, 1780), (90, MOST_SLICES), (200, MOST_SLICES), (2000, MOST_SLICES)):
        body = bytes([128] * 100 * (seconds // 2) + [255] * 100 * (seconds - seconds // 2))
        wav = b"WAVE" + wav_format(PCM, 8, 1, 100) + chunk(b"data", body)
        (lane,) = measured(b"RIFF" + struct.pack("<I", len(wav)) + wav).lanes
        assert len(lane) == slices
        assert lane[: int(slices * 0.49)] == [0] * int(slices * 0.49)
        assert lane[int(slices * 0.51) :] == about([99] * (slices - int(slices * 0.51)))


SPEECH = Path(__file__).parents[2] / "demo" / "audio"


@pytest.mark.parametrize("name", sorted({path.name for path in SPEECH.iterdir()} - {"hello.gsm.wav", "hello.ogg"}))
def test_speech_has_the_peaks_of_its_samples_in_every_format(name: str) -> None:
    path = SPEECH / name
    found = inspect(path)
    assert found.peaks is not None
    decoded = miniaudio.decode_file(str(path), nchannels=found.channels, sample_rate=found.sample_rate)
    window = found.sample_rate // 20
    for channel, lane in enumerate(found.peaks.lanes):
        samples = decoded.samples[channel :: found.channels]
        loudest = [max(map(abs, samples[at : at + window])) * 100 / 32768 for at in range(0, len(samples), window)]
        assert abs(len(lane) - len(loudest)) <= 2
        assert max(lane) == pytest.approx(max(loudest), abs=3)
        assert sum(lane) == pytest.approx(sum(loudest), rel=0.05)


def test_ogg_vorbis_is_not_decoded_and_has_none() -> None:
    assert inspect(SPEECH / "hello.ogg").peaks is None


# --- blocks of any length ---------------------------------------------------------------------------------------------


def plain(samples: list[int], channels: int, rate: int) -> list[list[int]]:
    """What a meter must say, sample by sample."""
    window = max(1, rate // 20)
    lanes = [samples[channel::channels] for channel in range(min(2, channels))]
    return [
        [(max(map(abs, lane[at : at + window])) * 100 + 16384) // 32768 for at in range(0, len(lane), window)]
        for lane in lanes
    ]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), channels=st.integers(1, 4), rate=st.sampled_from([1, 40, 100, 8000, 11025]))
def test_where_a_block_ends_does_not_matter(data: st.DataObject, channels: int, rate: int) -> None:
    frames = data.draw(st.integers(1, 1700))
    random = data.draw(st.randoms(use_true_random=False))
    samples = [random.randint(-32768, 32767) for _ in range(frames * channels)]
    content = array.array("h", samples).tobytes()
    meter = Meter(channels, rate, SIGNED_16)
    at = 0
    while at < len(content):
        frames_now = data.draw(st.integers(1, 1000))
        meter.add(content[at : at + frames_now * channels * 2])
        at += frames_now * channels * 2
    tolerance = 1 if channels == 2 else 0  # the other channel's sample is the lower half of what is read
    assert meter.peaks(1).lanes == [about(lane, tolerance) for lane in plain(samples, channels, rate)]


def test_a_day_is_held_in_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WINDOWS", 8)
    monkeypatch.setattr(module, "MOST_SLICES", 2)
    meter = Meter(1, 20, UNSIGNED_8)
    for value in (*range(128, 228), *[128] * 100):  # a hundred windows that grow louder, and as many of silence
        meter.add(bytes([value]))
        assert len(meter._lanes[0]._peaks) < 8
    (lane,) = meter.peaks(10).lanes
    assert len(lane) == 2
    assert max(lane) == 77


@pytest.mark.parametrize("encoding", [UNSIGNED_8, SIGNED_16])
def test_silence_is_zero(encoding: Encoding) -> None:
    meter = Meter(2, RATE, encoding)
    meter.add((b"\x80" if encoding is UNSIGNED_8 else b"\0") * 4000)
    assert all(set(lane) == {0} for lane in meter.peaks(1).lanes)


def test_it_is_written_without_a_blank() -> None:
    content = Peaks(1.23456, [[0, 100], [7]]).json()
    assert content == b'{"duration":1.235,"lanes":[[0,100],[7]]}'
    assert json.loads(content)["lanes"] == [[0, 100], [7]]
