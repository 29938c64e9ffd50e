"""Makes demo/audio/ again: synthetic speech only, so that no real call is ever in the repository.

Needs espeak-ng, sox and lame, which are not needed to run or test the product:

    apt-get install espeak-ng sox lame
    python -m demo.make_audio

The made files are committed. Another version of a program makes other bytes, which is fine: nothing depends on them.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from demo import mp3

AUDIO = Path(__file__).parent / "audio"

HELLO = "Hello, you have reached the demo. Please leave a message after the tone."
CALL = (
    ("en-us+f3", "Good morning, Harbour Garage, Dana speaking."),
    ("en-gb+m3", "Hi, this is Alex. Is my car ready?"),
    ("en-us+f3", "Yes, you can collect it after four."),
    ("en-gb+m3", "Great, thank you. See you then."),
)
"""Who says what: the first voice is on the left channel, the second on the right."""

ENCODINGS: dict[str, list[str]] = {
    "mulaw.wav": ["-r", "8000", "-e", "mu-law"],
    "alaw.wav": ["-r", "8000", "-e", "a-law"],
    "pcm.wav": ["-r", "8000", "-e", "signed-integer", "-b", "16"],
    "gsm.wav": ["-r", "8000", "-e", "gsm-full-rate"],
    "flac": ["-r", "16000", "-b", "16"],
    "ogg": ["-r", "16000", "-C", "1"],
}
"""How sox writes a file with this ending. The GSM one is there because the product must refuse it."""

LAME: dict[str, list[str]] = {
    # No bit reservoir: each frame stands alone, so frames can be repeated to make a long file (demo/mp3.py).
    "cbr.mp3": ["--nores", "--cbr", "-b", "{bitrate}"],
    "vbr.mp3": ["--nores", "-V", "6"],
}


def run(*command: str | Path) -> None:
    """Run one program quietly; `subprocess.CalledProcessError` when it fails."""
    # -D for sox: no dither, so that a second run makes the same bytes.
    subprocess.run([str(part) for part in command], check=True, stderr=subprocess.DEVNULL)  # noqa: S603


def speak(voice: str, text: str, to: Path) -> None:
    """Write `text`, spoken, as a 16 kHz mono WAV with a short silence after it."""
    raw = to.with_suffix(".raw.wav")
    run("espeak-ng", "-v", voice, "-s", "165", "-w", raw, text)
    run("sox", "-D", raw, "-r", "16000", "-c", "1", "-b", "16", to, "gain", "-n", "-4", "pad", "0", "0.15")


def converse(folder: Path) -> tuple[Path, Path]:
    """The two speakers in turn: a stereo file (left and right) and its mono mix."""
    turns = []
    for number, (voice, text) in enumerate(CALL):
        mono, turn = folder / f"said{number}.wav", folder / f"turn{number}.wav"
        speak(voice, text, mono)
        run("sox", "-D", mono, turn, "remix", *(("1", "0") if number % 2 == 0 else ("0", "1")))
        turns.append(turn)
    stereo, mixed = folder / "call.wav", folder / "call-mono.wav"
    run("sox", "-D", *turns, stereo)
    run("sox", "-D", stereo, mixed, "remix", "1,2")
    return stereo, mixed


def encode(source: Path, name: str, channels: int, endings: tuple[str, ...]) -> None:
    """Write `source` into demo/audio/ once for each ending."""
    for ending in endings:
        target = AUDIO / f"{name}.{ending}"
        if ending in LAME:
            mode = ["-m", "m" if channels == 1 else "s"]
            options = [option.format(bitrate=32 * channels) for option in LAME[ending]]
            run("lame", "--quiet", "--resample", "16", *mode, *options, source, target)
            if name != "hello":
                tag(target)
        else:
            run("sox", "-D", source, *ENCODINGS[ending], target)


def tag(file: Path) -> None:
    """Give an MP3 a tag frame where lame found no room for its own; a file that was cut can be told by it."""
    data = file.read_bytes()
    if not mp3.frame_at(data, 0).is_tag:
        file.write_bytes(mp3.repeat(data, mp3.duration(data)))


def main() -> int:
    """Make every file; 3 when a program is missing."""
    missing = [program for program in ("espeak-ng", "sox", "lame") if shutil.which(program) is None]
    if missing:
        sys.stderr.write(f"Missing: {', '.join(missing)}. Install them first (see the top of this file).\n")
        return 3
    AUDIO.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        hello = folder / "hello.wav"
        speak("en-us+f3", HELLO, hello)
        stereo, mixed = converse(folder)
        encode(hello, "hello", 1, ("mulaw.wav", "alaw.wav", "pcm.wav", "gsm.wav", "cbr.mp3", "vbr.mp3", "flac", "ogg"))
        encode(stereo, "call", 2, ("mulaw.wav", "pcm.wav", "cbr.mp3", "vbr.mp3"))
        encode(mixed, "call-mono", 1, ("mulaw.wav", "cbr.mp3"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
