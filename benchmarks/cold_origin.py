"""The origin of the cold benchmarks: late and slow like a provider, in a process of its own.

    .venv/bin/python -m benchmarks.cold_origin      prints its host:port, serves until its standard input closes

`/recordings/cold-<label>-<bytes>-<bytes a second>.wav` is a recording that is unlike any other. Its first byte comes
300 ms after the request, the rest at that speed in small pieces. `/fetches/<name>` says how often it was asked for.
"""

import re
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Self

from demo.library import Audio, bulk, head
from demo.server import Request, Server

FIRST_BYTE = 0.3
"""Seconds from the request to the first byte."""

PIECE = 0.02
"""Seconds between two pieces of a body."""

FIRST_PIECE = 16_384
_NAME = re.compile(r"/recordings/(cold-[\w.-]+-(\d+)-(\d+))(?:\.wav)?", re.ASCII)


def name(label: str, size: int = 2_000_000, speed: int = 4_000_000) -> str:
    """What a recording of `size` bytes is called that comes at `speed` bytes a second."""
    return f"cold-{label}-{size}-{speed}"


def audio(recording: str) -> Audio:
    """What the origin serves under a name."""
    return bulk(recording, int(recording.split("-")[-2]))


class Paced(Server):
    """The server; a thread a connection, which is cheap for the few that a benchmark makes."""

    def __init__(self) -> None:
        super().__init__()
        self._fetches: Counter[str] = Counter()
        self._counting = threading.Lock()

    def answer(self, request: Request) -> bool:
        """See Server.answer."""
        if request.target.startswith("/fetches/"):
            count = str(self._fetches[request.target.rpartition("/")[2]]).encode()
            request.sock.sendall(head(200, f"Content-Length: {len(count)}") + count)
            return True
        found = _NAME.fullmatch(request.target)
        if found is None:
            request.sock.sendall(head(404, "Content-Length: 0"))
            return True
        with self._counting:
            self._fetches[found[1]] += 1
        _serve(request, found[1], int(found[3]))
        return True


def _serve(request: Request, recording: str, speed: int) -> None:
    """Send the whole recording, first byte and speed as promised; a late piece is made good by the next one."""
    begin = time.monotonic() + FIRST_BYTE
    found = audio(recording)
    lines = [*found.headers, f"Content-Length: {len(found.body)}", "Cache-Control: public, max-age=3600"]
    time.sleep(max(0.0, begin - time.monotonic()))
    request.sock.sendall(head(200, *lines) + found.body[:FIRST_PIECE])
    body, sent, due = memoryview(found.body), FIRST_PIECE, begin
    while sent < len(body):
        due += PIECE
        time.sleep(max(0.0, due - time.monotonic()))
        until = min(len(body), int((time.monotonic() - begin) * speed))
        if until > sent:
            request.sock.sendall(body[sent:until])
            sent = until


class Origin:
    """The origin in a process of its own, with what an account and an import want to know of a provider."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.cold_origin"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        self.host, _, port = self.address.rpartition(":")
        self.port = int(port)
        self.base_url = f"http://{self.address}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("", timeout=30)

    def url(self, recording: str, extension: str = "") -> str:
        """Where the recording is."""
        return f"{self.base_url}/recordings/{recording}{'.' + extension if extension else ''}"


def main() -> None:
    """Serve until standard input closes."""
    server = Paced().start()
    print(f"{server.host}:{server.port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
