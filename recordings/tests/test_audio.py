import array
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import miniaudio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings.download.audio import Audio, inspect
from recordings.download.errors import CutShort, DownloadError, NotAudio, StorageError, UnsupportedFormat

SAMPLES = Path(__file__).parent / "audio"
PCM, FLOAT, ALAW, ULAW, MP3_IN_WAV, EXTENSIBLE = 1, 3, 6, 7, 0x55, 0xFFFE
SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")

Inspect = Callable[[bytes], Audio]


@pytest.fixture
def inspected(tmp_path: Path) -> Inspect:
    def inspect_bytes(content: bytes) -> Audio:
        path = tmp_path / "recording"
        path.write_bytes(content)
        return inspect(path)

    return inspect_bytes


def chunk(name: bytes, body: bytes, length: int | None = None) -> bytes:
    return name + struct.pack("<I", len(body) if length is None else length) + body + b"\0" * (len(body) % 2)


def wav_format(tag: int, bits: int, channels: int, rate: int, extra: bytes = b"") -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + extra)


def wav(
    tag: int = PCM,
    bits: int = 16,
    channels: int = 1,
    rate: int = 8000,
    *,
    seconds: float = 0.5,
    data_length: int | None = None,
    extra: bytes = b"",
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    data = bytes(range(256)) * 1000
    data = data[: int(seconds * rate) * channels * bits // 8]
    body = b"WAVE" + wav_format(tag, bits, channels, rate, extra) + before + chunk(b"data", data, data_length) + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


def extensible(tag: int, bits: int, tail: bytes = SUBFORMAT) -> bytes:
    return struct.pack("<HHIH", 22, bits, 0, tag) + tail


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


WAVS = {
    "pcm 8": wav(PCM, 8),
    "pcm 16": wav(PCM, 16),
    "pcm 16 stereo": wav(PCM, 16, channels=2, rate=44100, seconds=0.1),
    "pcm 24": wav(PCM, 24),
    "pcm 32": wav(PCM, 32),
    "mu-law": wav(ULAW, 8, extra=b"\0\0", before=chunk(b"fact", struct.pack("<I", 4000))),
    "mu-law stereo": wav(ULAW, 8, channels=2),
    "a-law": wav(ALAW, 8),
    "extensible pcm": wav(EXTENSIBLE, 24, extra=extensible(PCM, 24)),
    "extensible mu-law": wav(EXTENSIBLE, 8, extra=extensible(ULAW, 8)),
    "chunk of odd length first": wav(before=chunk(b"LIST", b"odd")),
}


@pytest.mark.parametrize("content", WAVS.values(), ids=WAVS.keys())
def test_a_wav_is_what_the_decoder_says_it_is(content: bytes, inspected: Inspect) -> None:
    found = inspected(content)

    decoded = miniaudio.wav_get_info(content)
    assert found.content_type == "audio/wav"
    assert (found.channels, found.sample_rate) == (decoded.nchannels, decoded.sample_rate)
    assert found.duration == pytest.approx(decoded.num_frames / decoded.sample_rate)


@pytest.mark.parametrize("content", WAVS.values(), ids=WAVS.keys())
def test_half_a_wav_is_cut_short(content: bytes, inspected: Inspect) -> None:
    with pytest.raises(CutShort):
        inspected(content[: len(content) // 2])


def test_a_wav_that_lacks_its_last_byte_is_cut_short(inspected: Inspect) -> None:
    with pytest.raises(CutShort):
        inspected(wav()[:-1])


@pytest.mark.parametrize("length", [20, 30, 40])
def test_a_wav_that_ends_in_its_header_is_cut_short(length: int, inspected: Inspect) -> None:
    with pytest.raises(CutShort):
        inspected(wav()[:length])


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_written_into_a_pipe_is_as_long_as_the_file(length: int, inspected: Inspect) -> None:
    assert inspected(wav(seconds=0.5, data_length=length)).duration == pytest.approx(0.5)


@pytest.mark.parametrize("after", [chunk(b"LIST", b"INFOsoft"), b"\0\0\0\0garbage", b"x"])
def test_what_follows_the_samples_of_a_wav_does_not_count(after: bytes, inspected: Inspect) -> None:
    assert inspected(wav(seconds=0.5, after=after)).duration == pytest.approx(0.5)


@pytest.mark.parametrize(
    "content",
    [
        wav(FLOAT, 32),
        wav(MP3_IN_WAV, 0),
        wav(PCM, 12),
        wav(PCM, 16, channels=33),
        wav(ULAW, 16),
        wav(EXTENSIBLE, 32, extra=extensible(FLOAT, 32)),
        wav(EXTENSIBLE, 16, extra=extensible(PCM, 16, tail=bytes(14))),
        b"RF64" + wav()[4:],
        sample("adpcm.wav"),
        sample("gsm.wav"),
    ],
    ids=[
        "float",
        "mp3",
        "12 bits",
        "33 channels",
        "mu-law of 16 bits",
        "ext float",
        "ext other",
        "rf64",
        "adpcm",
        "gsm",
    ],
)
def test_a_wav_of_another_kind_is_unsupported(content: bytes, inspected: Inspect) -> None:
    with pytest.raises(UnsupportedFormat):
        inspected(content)


@pytest.mark.parametrize(
    "content",
    [
        wav(seconds=0),
        wav(channels=0),
        wav(rate=0, seconds=0),
        b"RIFF\x24\0\0\0WAVE" + chunk(b"data", b"\0\0\0\0"),
        b"RIFF\x24\0\0\0WAVE" + chunk(b"fmt ", b"\1\0") + chunk(b"data", b"\0\0\0\0"),
        b"RIFF\xff\xff\xff\xffWAVE" + chunk(b"junk", b"") * 100_000,
    ],
    ids=["no samples", "no channels", "no rate", "no format", "short format", "endless chunks"],
)
def test_a_wav_with_nothing_to_hear_is_not_audio(content: bytes, inspected: Inspect) -> None:
    with pytest.raises(NotAudio):
        inspected(content)


COMPRESSED = {
    "cbr_mono.mp3": Audio("audio/mpeg", 0.8, 1, 8000),
    "cbr_stereo_without_count.mp3": Audio("audio/mpeg", 0.9, 2, 16000),  # nothing says where the encoder's padding is
    "vbr_stereo.mp3": Audio("audio/mpeg", 0.8, 2, 16000),
    "vbr_stereo_tagged.mp3": Audio("audio/mpeg", 0.8, 2, 16000),  # ID3v2 before, ID3v1 after
    "mono.flac": Audio("audio/flac", 0.3, 1, 8000),
    "stereo.flac": Audio("audio/flac", 0.8, 2, 16000),
    "stereo.ogg": Audio("audio/ogg", 0.8, 2, 16000),
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_compressed_file_is_known_by_its_bytes(name: str, inspected: Inspect) -> None:
    found, expected = inspected(sample(name)), COMPRESSED[name]

    assert found.content_type == expected.content_type
    assert (found.channels, found.sample_rate) == (expected.channels, expected.sample_rate)
    assert found.duration == pytest.approx(expected.duration, abs=0.04)  # one MP3 frame at 16 kHz


@pytest.mark.parametrize("name", sorted(COMPRESSED.keys() - {"cbr_stereo_without_count.mp3"}))
@pytest.mark.parametrize("share", [0.02, 0.5, 0.7])
def test_a_part_of_a_compressed_file_is_cut_short(name: str, share: float, inspected: Inspect) -> None:
    content = sample(name)
    with pytest.raises(CutShort):
        inspected(content[: max(45, int(len(content) * share))])


@pytest.mark.parametrize("name", ["stereo.flac", "stereo.ogg"])
def test_flac_and_ogg_that_lack_their_last_byte_are_cut_short(name: str, inspected: Inspect) -> None:
    with pytest.raises(CutShort):
        inspected(sample(name)[:-1])


def test_a_flac_cut_inside_its_metadata_is_cut_short(inspected: Inspect) -> None:
    padded = sample("mono.flac")
    first_block_is_last = padded[:4] + bytes([padded[4] & 0x7F]) + padded[5:42] + b"\x81\x00\xff\xff"
    with pytest.raises(CutShort):
        inspected(first_block_is_last + bytes(100))


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_one_wrong_byte_in_an_ogg_is_noticed(at: float, inspected: Inspect) -> None:
    content = bytearray(sample("stereo.ogg"))
    content[int(len(content) * at)] ^= 1
    with pytest.raises(CutShort):
        inspected(bytes(content))


def test_a_missing_page_of_an_ogg_is_noticed(inspected: Inspect) -> None:
    content = sample("stereo.ogg")
    second, third = content.index(b"OggS", 4), content.index(b"OggS", content.index(b"OggS", 4) + 4)
    with pytest.raises(CutShort):
        inspected(content[:second] + content[third:])


def test_an_mp3_behind_two_tags_and_padding_is_found(inspected: Inspect) -> None:
    tag = b"ID3\4\0\0\0\0\1\0" + b"<html>" + bytes(122)
    with_footer = b"ID3\4\0\x10\0\0\0\4" + b"\xff\xfb\x90\0" + b"3DI\4\0\x10\0\0\0\4"
    assert inspected(tag + with_footer + bytes(50) + sample("cbr_mono.mp3")).content_type == "audio/mpeg"


def test_a_file_that_ends_in_its_tag_is_cut_short(inspected: Inspect) -> None:
    with pytest.raises(CutShort):
        inspected(b"ID3\4\0\0\0\0\x7f\0" + bytes(200))


def test_an_mp3_frame_before_other_bytes_is_not_audio(inspected: Inspect) -> None:
    with pytest.raises(NotAudio):
        inspected(sample("cbr_stereo_without_count.mp3")[:144] + b"<html>Try again later</html>" * 100)


@pytest.mark.parametrize(
    "content",
    [
        sample("opus.ogg"),
        sample("aiff.aiff"),
        b"\0\0\0\x20ftypM4A \0\0\0\0isomM4A mp42" + bytes(100),
        b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(100),
        b"\xff\xfd\xc8\0" + bytes(600),
        b"#!AMR\n" + bytes(100),
        b"\x1a\x45\xdf\xa3\x01\0\0\0" + bytes(100),
        b".snd" + bytes(100),
    ],
    ids=["opus", "aiff", "m4a", "adts", "mp2", "amr", "webm", "au"],
)
def test_audio_that_is_not_played_here_is_unsupported(content: bytes, inspected: Inspect) -> None:
    with pytest.raises(UnsupportedFormat):
        inspected(content)


NOT_AUDIO = {
    "empty": (b"", "empty"),
    "html": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML"),
    "html after blanks": (b"\n\n  <HTML>", "HTML"),
    "xml": (b'<?xml version="1.0"?><TwilioResponse><RestException/></TwilioResponse>', "XML"),
    "xml with a mark": (b"\xef\xbb\xbf<a/>", "XML"),
    "json": (b'{"code": 20404, "message": "not found"}', "JSON"),
    "text": (b"The recording is being prepared.\nTry again.", "text"),
    "utf-16 text": ("\ufeffNot found".encode("utf-16-le"), "not audio"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "not audio"),
    "zeros": (bytes(5000), "not audio"),
}


@pytest.mark.parametrize(("content", "said"), NOT_AUDIO.values(), ids=NOT_AUDIO.keys())
def test_what_is_not_audio_is_refused_and_named(content: bytes, said: str, inspected: Inspect) -> None:
    with pytest.raises(NotAudio) as refusal:
        inspected(content)
    assert said in refusal.value.detail


def test_the_refusal_does_not_repeat_the_body(inspected: Inspect) -> None:
    with pytest.raises(NotAudio) as refusal:
        inspected(json.dumps({"token": "hush"}).encode())
    assert "hush" not in str(refusal.value)


def test_a_file_that_cannot_be_read_is_our_storage_s_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        inspect(tmp_path / "absent")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(path.name for path in SAMPLES.iterdir())), data=st.data())
def test_damage_never_raises_anything_else(name: str, data: st.DataObject, inspected: Inspect) -> None:
    content = bytearray(sample(name))
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    try:
        found = inspected(bytes(content))
    except DownloadError:
        return
    assert found.duration > 0


MEASURE = """
import resource, sys
from pathlib import Path
from recordings.download.audio import inspect
inspect(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(inspect(Path(sys.argv[2])).duration, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_ten_minutes_take_no_more_memory_than_one_second(tmp_path: Path) -> None:
    long_mp3, long_wav = tmp_path / "long.mp3", tmp_path / "long.wav"
    frames = sample("cbr_stereo_without_count.mp3")
    long_mp3.write_bytes(frames * 670)
    silence = array.array("h", bytes(2 * 8000 * 600)).tobytes()
    body = b"WAVE" + wav_format(PCM, 16, 1, 8000) + chunk(b"data", silence)
    long_wav.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)

    for path in (long_mp3, long_wav):
        command = [sys.executable, "-c", MEASURE, str(SAMPLES / "vbr_stereo.mp3"), str(path)]
        told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=SAMPLES.parents[2])
        duration, grown_kb = map(float, told.stdout.split())
        assert duration == pytest.approx(600, abs=5)
        assert grown_kb < 4096  # the samples of the MP3 are 38 MB
