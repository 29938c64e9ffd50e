"""A service under proof: started with its load, its witness and its watch; at the end, what was found."""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.provider import Provider
from demo.service import Service, wait_until
from faults import points, verdict
from faults.kinds import kinds, stands
from faults.load import Load
from faults.watch import Watch
from prosaasil.supervisor import processes
from recordings.tests.living import customer
from recordings.tests.transitions import Witness

AT_REST = 10.0
BYTES = 50_000
"""Of each recording: three seconds of one that comes slowly."""
ROOT = Path(points.__file__).parent.parent
PLANTED = ROOT / "faults" / "planted"


@dataclass
class Tally:
    """What was done and seen, for the table of figures. Times are in seconds."""

    kills: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    tries: Counter[str] = field(default_factory=Counter)
    stops: int = 0
    taken_over: int = 0
    holders: list[float] = field(default_factory=list)
    terms: list[float] = field(default_factory=list)
    given_back: int = 0
    starts: int = 0
    stood_again: list[float] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)


class Trial:
    """One service that is hit again and again. `folder` is for what the points need; `seed` decides all chance."""

    def __init__(self, service: Service, provider: Provider, folder: Path, seed: int) -> None:
        self.service, self.provider, self.folder, self.seed = service, provider, folder, seed
        self.random = random.Random(seed)
        self.tally = Tally()
        self.findings: list[str] = []
        self.customer = customer(service, provider)
        self.witness = Witness(service.sql, service.vendor)
        self.watch = Watch(service)
        self.load = Load(self.customer, seed, lambda: self.watch.under_way)

    def begin(self) -> None:
        """Start everything, and have some recordings downloaded, so that each process has been of use."""
        began = time.monotonic()
        self.witness.watch()
        self.start()
        self.watch.start()
        self.load.start()
        wait_until(lambda: self.watch.by_status["ready"] > 5, 60, "the first recordings are ready")
        self.tally.seconds["begin"] = round(time.monotonic() - began)

    def start(self, wait: bool = True) -> None:
        """Start `serve`, and once more after it was killed."""
        self.tally.starts += 1
        self.service.start(wait=False)
        if wait:
            self.stand()

    def stand(self, seconds: float = 60) -> None:
        """Wait until web and cluster are whole again; a process too many counts as not whole."""
        began = time.monotonic()
        try:
            wait_until(lambda: stands(self.service), seconds, "the service is whole again")
        except AssertionError as error:
            self.findings.append(f"{error}; {self.state()}")
            self.restart()
        self.tally.stood_again.append(time.monotonic() - began)

    def state(self) -> str:
        """How things stand, for a finding."""
        alive = {kind: len(pids) for kind, pids in kinds(self.service).items() if pids}
        return f"processes {alive}, recordings {dict(self.watch.by_status)}"

    def restart(self) -> None:
        """Kill -9 the supervisor, and start it again as whoever watches over it would."""
        self.strike("supervisor", self.service.pid)
        self.start()

    def strike(self, kind: str, pid: int) -> None:
        """SIGKILL."""
        processes.kill(pid)
        self.tally.kills[kind] += 1
        if kind == "supervisor":
            self.service.exit_status()

    def end(self) -> list[str]:
        """Let everything come to rest, stop it, look at what is left. All that was found, in words."""
        began = time.monotonic()
        points.disarm_all(self.folder)
        self.findings += self.load.stop()
        self.stand()
        self.findings += verdict.all_ready(self.load, self.watch)
        self.findings += verdict.no_leak(self.service, self.load)
        self.watch.stop()
        seconds = self.service.stop(signal.SIGTERM)
        self.findings += [f"SIGTERM at rest took {seconds:.1f} s"] if seconds > AT_REST else []
        self.findings += self.watch.stuck + self.load.heard.wrong
        self.findings += verdict.no_process(self.service)
        self.findings += verdict.witnessed(self.witness, self.service)
        self.findings += verdict.right_rows(self.service, self.load)
        self.findings += verdict.no_orphan_file(self.service)
        self.tally.seconds["end"] = round(time.monotonic() - began)
        return self.findings


def environment(folder: Path, provider: Provider, bug: str = "") -> Mapping[str, str]:
    """For a service under proof: where its points look, and the provider that it may reach."""
    return {
        "PYTHONPATH": f"{PLANTED}:{ROOT}",
        points.FOLDER: str(folder),
        points.BUG: bug,
        "RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address,
        "RECORDINGS_READ_TIMEOUT": "15",  # longer than a beat, until which a recording is held half downloaded
    }


@contextmanager
def origin() -> Iterator[Provider]:
    """The provider, with a latency that keeps many recordings under way."""
    with Provider(auth="none", latency=0.2, bulk_bytes=BYTES) as provider:
        yield provider
