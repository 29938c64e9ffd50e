"""What only our service is asked: joining in the middle, statuses beside many listeners, more listeners than places."""

import http.client
import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cold_origin
from benchmarks.cold_servers import Ours, sid
from benchmarks.crowd import Crowd, Listener, hear, no_garbage_collection, percentile

SLOW = 500_000
"""Bytes a second of a recording that is to be under way for a while."""

JOINERS = 60
STATUSES = 400
MANY = 500
IDLE = 75.0
"""Seconds in which what 500 listeners took has to be given back; the server keeps idle threads for 30."""


def slow(label: str, seconds: int) -> str:
    """A recording that takes so long to arrive."""
    return cold_origin.name(label, seconds * SLOW, SLOW)


@dataclass(frozen=True)
class Joining:
    """First bytes' p95 in seconds: of what is there of an arriving recording, and of a ready one."""

    live: float
    ready: float


def join(ours: Ours, arriving: str, ready: str) -> Joining:
    """While `arriving` arrives, new listeners come one by one, to it and to `ready` in turn."""
    hear([_listener(ours, ready)])
    times: tuple[list[float], list[float]] = ([], [])
    with Crowd([_listener(ours, arriving)]) as first:
        first.ask()
        first.listen(1.5)
        for _ in range(JOINERS):
            times[0].append(_first_byte(ours, arriving))
            times[1].append(_first_byte(ours, ready))
            first.listen(0.05)
        assert first.listeners[0].received < len(first.listeners[0].expected), "it was whole too early"
        assert first.listeners[0].right
    return Joining(percentile(times[0], 95), percentile(times[1], 95))


def _listener(ours: Ours, recording: str) -> Listener:
    return Listener(ours.address, ours.request(recording), cold_origin.audio(recording).body)


def _first_byte(ours: Ours, recording: str) -> float:
    """Seconds from the request of a new listener, who then hangs up, to the first byte."""
    listener = _listener(ours, recording)
    listener.expected = listener.expected[:1]
    begin = time.monotonic()
    sock = listener.connect()
    sock.setblocking(True)
    listener.send()
    while not listener.received:
        if not listener.take(begin) and not listener.received:
            raise AssertionError(f"{listener.status} instead of a first byte")
    listener.close()
    return listener.first


@dataclass(frozen=True)
class Statuses:
    """p99 of status requests in seconds: with nobody else there, and beside 200 listeners."""

    alone: float
    beside: float


def statuses(ours: Ours, recording: str, listeners: int = 200) -> Statuses:
    """One client asks for one status after the other: alone, then while `recording` streams to all listeners."""
    request = ours.get(f"recordings/{sid(recording)}/status")
    alone = _Asker(ours, request).result()
    with no_garbage_collection(), Crowd([_listener(ours, recording) for _ in range(listeners)]) as crowd:
        crowd.ask()
        assert crowd.listen(30, until_headers=True)
        crowd.listen(0.5)
        asker = _Asker(ours, request)
        while asker.running():
            crowd.listen(0.05)
        assert all(one.received < len(one.expected) for one in crowd.listeners), "it was whole too early"
        beside = asker.result()
    return Statuses(alone, beside)


class _Asker:
    """A process that asks; the listeners' process is too busy to take times."""

    def __init__(self, ours: Ours, request: bytes) -> None:
        command = [sys.executable, "-m", "benchmarks.cold_live"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([*ours.address, request.decode()]) + "\n")
        self._process.stdin.flush()

    def running(self) -> bool:
        return self._process.poll() is None

    def result(self) -> float:
        said, _ = self._process.communicate(timeout=120)
        return percentile(json.loads(said), 99)


def ask() -> None:
    """Ask as standard input says, on a connection each; print the seconds that each answer took."""
    host, port, request = json.loads(sys.stdin.readline())
    times = []
    for _ in range(STATUSES):
        begin = time.monotonic()
        with socket.create_connection((host, port), timeout=30) as sock:
            sock.sendall(request.encode())
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            answer.read()
            times.append(time.monotonic() - begin)
            assert answer.status == 200, answer.status
        time.sleep(0.005)
    print(json.dumps(times))


@dataclass(frozen=True)
class Holdings:
    """What the web processes hold: threads, open descriptors, connections to their port."""

    threads: int
    descriptors: int
    connections: int

    def within(self, other: "Holdings") -> bool:
        """Nothing of it is more than there."""
        mine = (self.threads, self.descriptors, self.connections)
        return all(a <= b for a, b in zip(mine, (other.threads, other.descriptors, other.connections), strict=True))


def holdings(ours: Ours) -> Holdings:
    """As it is now."""
    processes = [Path(f"/proc/{member.pid}") for member in ours.service.group("web")]
    port = f":{ours.service.port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    connected = [line for line in lines if line[1].endswith(port) and line[3] not in {"0A", "06"}]  # LISTEN, TIME_WAIT
    return Holdings(
        sum(len(list((process / "task").iterdir())) for process in processes),
        sum(len(list((process / "fd").iterdir())) for process in processes),
        len(connected),
    )


@dataclass(frozen=True)
class Rush:
    """More listeners than places: how many got which answer, when the last 202 came, and what is held when."""

    playing: int
    told_to_wait: int
    others: int
    last_202: float
    before: Holdings
    during: Holdings
    after: Holdings
    after_seconds: float


def rush(ours: Ours, recording: str) -> Rush:
    """500 come at once, have their answers, and go; then what they took is waited for."""
    before = _settled(ours)
    with Crowd([_listener(ours, recording) for _ in range(MANY)]) as crowd:
        with no_garbage_collection():
            crowd.ask()
            crowd.listen(15, until_headers=True)
        during = holdings(ours)
        answers = [one.status for one in crowd.listeners]
        waits = [one.headers_at for one in crowd.listeners if one.status == 202]
    gone = time.monotonic()
    while not (after := holdings(ours)).within(before) and time.monotonic() - gone < IDLE:
        time.sleep(0.5)
    others = len(answers) - answers.count(206) - answers.count(202)
    last = max(waits, default=0.0)
    return Rush(
        answers.count(206), len(waits), others, last, before, during, after, time.monotonic() - gone
    )  # fmt: skip


def _settled(ours: Ours) -> Holdings:
    """What is held once nothing has changed for a while."""
    seen: list[Holdings] = []
    deadline = time.monotonic() + IDLE
    while time.monotonic() < deadline:
        seen.append(holdings(ours))
        if len(seen) > 40 and len(set(seen[-40:])) == 1:
            break
        time.sleep(1)
    return seen[-1]


if __name__ == "__main__":
    ask()
