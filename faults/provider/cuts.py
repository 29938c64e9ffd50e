"""Answers that are cut, reset, stalled and corrupted at any byte: never a false ready, and a reason that fits.

    .venv/bin/python -m faults.provider.cuts [--cases 5000] [--seed N] [--deadline 4] [--at-once 16]

Real attempts (recordings/download/attempt.py) over real sockets, from a provider that plays the scripts of damage.py.
An attempt that says ready must hold exactly the bytes that may be kept; one that fails, a reason that fits the damage;
and then a second attempt, which may go on from what the first one left, must end ready with the right bytes. No
database: an attempt knows none.
"""

import argparse
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from demo.counts import read_headers
from demo.exchange import RESET, Exchange
from demo.server import Request, Server
from faults.provider.damage import DECOY, Case, End, Script, case
from faults.provider.report import Report, descriptors, quiet
from recordings.download.adopting import Earlier
from recordings.download.attempt import Job, run
from recordings.download.errors import Stalled
from recordings.download.providers import Account
from recordings.download.providers.http import Client, Transfer
from recordings.results import Failed, Finished, digest
from recordings.storage import Storage

READ_TIMEOUT = 1.0
MAX_BYTES = 10_000_000
LATE = 1.0
"""Seconds after its deadline in which an attempt must be over."""


class Origin(Server):
    """Plays the cases' scripts; heals those that it is told to, and then knows ranges too."""

    def __init__(self) -> None:
        super().__init__()
        self.cases: dict[str, Case] = {}
        self.healed: set[str] = set()

    def url(self, case: Case) -> str:
        """Where a case begins."""
        return f"http://{self.host}:{self.port}/r/{case.name}/0"

    def answer(self, request: Request) -> bool:
        """See Server.answer."""
        _, _, name, hop = (request.target.split("/") + [""] * 4)[:4]
        case = self.cases.get(name)
        if case is None or not (hop.isdigit() and int(hop) < len(case.answers)):
            request.sock.sendall(DECOY.whole_head + DECOY.body)
            return True
        if name in self.healed:
            headers = read_headers(request.head)
            Exchange(request.sock, "GET", request.target, 0, case.audio, headers).serve()
            return True
        return _play(case.answers[int(hop)], request)


def _play(script: Script, request: Request) -> bool:
    exchange = Exchange(request.sock, "GET", request.target, 0, DECOY)
    begin = 0
    for end in (*script.pauses, len(script.data)):
        exchange.send(script.data[begin:end])
        begin = end
        if end < len(script.data) and exchange.pause(script.pause if script.pause > 0 else READ_TIMEOUT + 0.5):
            return False
    if script.end is End.RESET:
        request.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    elif script.end is End.SILENCE:
        exchange.hold()
    elif script.end is End.DRIP:
        for byte in script.rest:
            exchange.send(bytes([byte]))
            if exchange.pause(READ_TIMEOUT / 4):
                break
    return script.end is End.KEEP


@dataclass
class Tried:
    """One attempt: what it said, the bytes that it kept, and how long it took."""

    result: Finished | Failed | None
    body: bytes | None
    seconds: float
    earlier: dict[str, Earlier] = field(default_factory=dict)
    """What the next attempt may go on from."""

    @property
    def said(self) -> str:
        """In a word."""
        if isinstance(self.result, Failed):
            return str(self.result.reason)
        return "ready" if self.result else "given back"


class Bench:
    """Makes attempts, as many at once as threads call it; one pool of connections for all, as in a worker."""

    def __init__(self, origin: Origin, folder: Path, at_once: int, deadline: float) -> None:
        place = f"{origin.host}:{origin.port}"
        self.deadline = deadline
        self.client = Client(at_once, frozenset({place}), 5.0, READ_TIMEOUT)
        self._origin = origin
        self._account = Account("generic", f"http://{place}", (place,), "none", "", "")
        self._storage = Storage(folder)
        self._storage.prepare()
        self._under_way: set[Transfer] = set()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher")
        self._watcher.start()

    def close(self) -> None:
        """Leave nothing behind."""
        self._over.set()
        self._watcher.join()
        self.client.close()

    def _watch(self) -> None:
        """End what is overdue, as a drain's main thread does (worker.py)."""
        while not self._over.wait(0.2):
            for transfer in list(self._under_way):
                if transfer.left <= 0:
                    transfer.abort(Stalled())

    def attempt(self, number: int, case: Case, earlier: dict[str, Earlier]) -> Tried:
        """One try, from the first byte to the file's final name."""
        token, url, transfer = uuid4().hex, self._origin.url(case), Transfer(self.deadline, MAX_BYTES)
        job = Job(held=(number + 1, token), call_sid=case.name, business=1, url=url, recording_sid=None,
                  call_ended_at=None, account=self._account, transfer=transfer, earlier=earlier)  # fmt: skip
        self._under_way.add(transfer)
        began = time.monotonic()
        result = run(job, self.client, self._storage, lambda: None)
        took = time.monotonic() - began
        self._under_way.discard(transfer)
        if job.kept:
            job.kept.close()
        known = Earlier(digest(url), transfer.bytes_total, transfer.validator or "", transfer.version)
        body = self._storage.path(result.whole.file).read_bytes() if isinstance(result, Finished) else None
        return Tried(result, body, took, {token: known})


@contextmanager
def _bench(at_once: int, deadline: float) -> Iterator[tuple[Origin, Bench]]:
    with tempfile.TemporaryDirectory(prefix="prosaasil-cuts-") as folder, Origin() as origin:
        bench = Bench(origin, Path(folder), at_once, deadline)
        try:
            yield origin, bench
        finally:
            bench.close()


def judge(case: Case, number: int, first: Tried, deadline: float) -> list[str]:
    """What must not be about the first attempt at a case, in words."""
    about, script = f"case {number} ({case.kind}, answer {case.damaged + 1} of {len(case.answers)})", case.script
    found = []
    if first.seconds > deadline + LATE:
        found.append(f"{about}: over after {first.seconds:.1f} s, {deadline} allowed")
    if not isinstance(first.result, Failed):
        if first.body not in script.keeps:
            found.append(f"{about}: {first.said} with {len(first.body or b'')} bytes that may not be kept")
    elif first.result.reason not in script.reasons:
        found.append(f"{about}: {first.said} ({first.result.detail}) does not fit")
    return found


def prove(cases: int, seed: int, deadline: float = 4.0, at_once: int = 16) -> Report:
    """Try them all, twice where the first try fails."""
    rng, report, said = random.Random(seed), Report(), Counter[tuple[str, str]]()
    made = [case(rng, number) for number in range(cases)]
    before, slowest, healed = (threading.active_count(), descriptors()), 0.0, 0
    with _bench(at_once, deadline) as (origin, bench):
        origin.cases = {one.name: one for one in made}

        def one(number: int) -> tuple[Tried, Tried | None]:
            first = bench.attempt(number, made[number], {})
            if not isinstance(first.result, Failed):
                return first, None
            origin.healed.add(made[number].name)
            return first, bench.attempt(number, made[number], first.earlier)

        with ThreadPoolExecutor(at_once) as pool:
            for number, (first, second) in enumerate(pool.map(one, range(cases))):
                said[made[number].kind, first.said] += 1
                slowest = max(slowest, first.seconds)
                report.findings += judge(made[number], number, first, deadline)
                if second:
                    healed += 1
                    right = second.body == made[number].audio.body
                    report.expect(
                        right,
                        f"case {number} ({made[number].kind}): the second try said {second.said} after {first.said}",
                    )
    after = threading.active_count(), descriptors()
    report.expect(
        after <= before, f"left behind: threads {before[0]} → {after[0]}, descriptors {before[1]} → {after[1]}"
    )
    kinds = sorted({kind for kind, _ in said})
    report.figures = {"seed": seed, "cases": cases, "second tries": healed, "slowest (s)": round(slowest, 2),
                      "threads left": after[0] - before[0], "descriptors left": after[1] - before[1]}  # fmt: skip
    report.figures |= {kind: _words({word: n for (k, word), n in said.items() if k == kind}) for kind in kinds}
    return report


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{word} {count}" for word, count in sorted(counts.items(), key=lambda one: -one[1]))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--deadline", type=float, default=4.0, help="seconds of each attempt")
    parser.add_argument("--at-once", type=int, default=16)
    given = parser.parse_args()
    quiet()
    return prove(given.cases, given.seed, given.deadline, given.at_once).say()


if __name__ == "__main__":
    raise SystemExit(main())
