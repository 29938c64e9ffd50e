"""Programs that people play with: curl resumes, ffmpeg and mpv play and seek, all of it while the recording arrives.

ffmpeg and mpv in the long form only (LONG=1): as root, `apt-get install ffmpeg mpv` brings them.
"""

import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from conftest import StartService
from demo.library import load
from demo.provider import Provider
from recordings.tests.living import LONG, Customer, customer

pytestmark = pytest.mark.once

AUDIO = load("long-mono-cbr")
_numbers = count(1)


@pytest.fixture(scope="module")
def acme(lasting_service: StartService) -> Iterator[Customer]:
    with Provider(auth="none") as provider:
        allowed = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address}
        yield customer(lasting_service(environment=allowed), provider)


def cold(acme: Customer) -> tuple[str, str]:
    """A recording of ten minutes that takes two seconds to come, and the address that plays it meanwhile."""
    number = next(_numbers)
    sid, name = f"MEDIA{number:04}", f"media-{number:04}"
    acme.provider.put(name, AUDIO)
    acme.provider.misbehave(name, "slow", bytes_per_second=len(AUDIO.body) // 2)
    acme.bring(sid, name)
    return name, f"{acme.service.url}/api/recordings/{sid}/stream?live=1"


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"No {program}: install it (apt-get install {program}).")
    return subprocess.run([found, *arguments], capture_output=True, timeout=60, check=False)


def test_curl_goes_on_with_a_file_that_it_has_in_part(acme: Customer, tmp_path: Path) -> None:
    name, url = cold(acme)
    file = tmp_path / "recording.mp3"
    options = ["--silent", "--show-error", "--fail", "--header", f"Authorization: Token {acme.token}"]
    first = run("curl", *options, "--range", "0-99999", "--output", str(file), url)
    assert (first.returncode, file.stat().st_size) == (0, 100_000), first.stderr
    rest = run("curl", *options, "--continue-at", "-", "--output", str(file), url)
    assert rest.returncode == 0, rest.stderr
    assert file.read_bytes() == AUDIO.body
    assert acme.provider.count(name).requests == 1


@pytest.mark.parametrize(("start", "seconds"), [(0, 600), (500, 2)] if LONG else [])
def test_ffmpeg_plays_and_seeks(acme: Customer, start: int, seconds: int) -> None:
    name, url = cold(acme)
    headers = f"Authorization: Token {acme.token}\r\n"
    where = ["-ss", str(start), "-headers", headers, "-i", url, "-t", str(seconds)]
    played = run("ffmpeg", "-v", "error", *where, "-f", "s16le", "-ar", "8000", "-ac", "1", "-")
    assert played.returncode == 0, played.stderr
    assert len(played.stdout) / 16_000 == pytest.approx(seconds, abs=0.5)
    assert acme.provider.count(name).requests == 1


@pytest.mark.parametrize("start", [0, 500] if LONG else [])
def test_mpv_plays_and_seeks(acme: Customer, start: int) -> None:
    name, url = cold(acme)
    options = ["--no-config", "--no-video", "--ao=null", "--msg-level=all=warn", f"--start={start}", "--length=2"]
    played = run("mpv", *options, f"--http-header-fields=Authorization: Token {acme.token}", url)
    assert played.returncode == 0, played.stdout + played.stderr
    assert acme.provider.count(name).requests == 1
