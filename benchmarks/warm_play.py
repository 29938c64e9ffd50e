"""Requests a second for a warm recording: through nginx with X-Accel-Redirect, and straight from the product.

    .venv/bin/python -m benchmarks.warm_play

(a) nginx in front, the product says who may and names the file; against the same nginx that serves the same file to
everybody. (b) The product sends the bytes itself; against the same server with a bare view that returns FileResponse in
blocks of 256 KB. All four run throughout, and short rounds alternate, so that what else the machine does hits all
alike; what a request costs in CPU is told as well. The client is `wrk` where it is on the PATH, else processes of our
own.
"""

import argparse
import multiprocessing
import os
import re
import resource
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo import nginx
from demo.library import bulk
from demo.provider import Provider
from demo.service import MANAGE, Service, prepare, wait_until
from prosaasil.supervisor import processes
from prosaasil.supervisor.ports import LOOPBACK, accepts, free_port
from recordings.tests.living import Customer, customer

SIZE = 2_000_000
CONNECTIONS = 16
SID = "WARM1"
PATH = f"/api/recordings/{SID}/stream"


@dataclass(frozen=True)
class Target:
    """What is asked, over and over."""

    name: str
    port: int
    path: str
    token: str = ""

    @property
    def head(self) -> bytes:
        authorization = f"Authorization: Token {self.token}\r\n" if self.token else ""
        return f"GET {self.path} HTTP/1.1\r\nHost: {LOOPBACK}:{self.port}\r\n{authorization}\r\n".encode()

    def requests_per_second(self, seconds: float) -> float:
        wrk = shutil.which("wrk")
        return _by_wrk(wrk, self, seconds) if wrk else _by_ourselves(self, seconds)


def _by_wrk(wrk: str, target: Target, seconds: float) -> float:
    command = [wrk, "-t2", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"]
    if target.token:
        command += ["-H", f"Authorization: Token {target.token}"]
    command.append(f"http://{LOOPBACK}:{target.port}{target.path}")
    said = subprocess.check_output(command, text=True)
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    [rate] = re.findall(r"Requests/sec:\s+([0-9.]+)", said)
    return float(rate)


def _by_ourselves(target: Target, seconds: float) -> float:
    """Two processes; each keeps half of the connections busy."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_ask_until, [(target, 0.2)] * 2)  # started, connected
        return sum(pool.map(_ask_until, [(target, seconds)] * 2)) / seconds


def _ask_until(what: tuple[Target, float]) -> int:
    target, seconds = what
    buffer, done = bytearray(1 << 20), 0
    with selectors.DefaultSelector() as ready:
        for _ in range(CONNECTIONS // 2):
            connection = socket.create_connection((LOOPBACK, target.port))
            connection.sendall(target.head)
            ready.register(connection, selectors.EVENT_READ, [0])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in ready.select(1):
                connection, left = key.fileobj, key.data  # type: ignore[assignment]
                got = connection.recv_into(buffer)
                assert got, "the server hung up"
                if left[0] == 0:
                    head = bytes(buffer[:got]).partition(b"\r\n\r\n")[0]
                    assert head.startswith(b"HTTP/1.1 200"), head
                    left[0] = len(head) + 4 + SIZE
                left[0] -= got
                if left[0] == 0:
                    done += 1
                    connection.sendall(target.head)
        for key in list(ready.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    return done


def measure(target: Target, seconds: float) -> tuple[float, float]:
    """Requests a second, and milliseconds of CPU a request of all that takes part, the client included.

    The second tells more on a machine that others use as well.
    """
    before, began = _cpu_seconds(), time.monotonic()
    rate = target.requests_per_second(seconds)
    return rate, (_cpu_seconds() - before) / (rate * (time.monotonic() - began)) * 1000


def _cpu_seconds() -> float:
    """Of all processes that descend from this one: living, and (clients) ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for pid in processes.descendants(os.getpid()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def process(port: int, *command: str, environment: dict[str, str]) -> Iterator[None]:
    """A server of our own on this port, for as long as the block lasts."""
    running = subprocess.Popen([sys.executable, *command], env=environment | {"PORT": str(port)}, cwd=MANAGE.parent)
    try:
        wait_until(lambda: accepts(port), 30, f"{command[-1]} answers")
        yield
    finally:
        running.terminate()
        running.wait(20)


def warm_recording(acme: Customer) -> Path:
    """Have it downloaded; returns its file."""
    acme.provider.put("bulk-warm", bulk("bulk-warm", SIZE))
    acme.import_recordings({SID: "bulk-warm"})
    acme.request("POST", f"/api/recordings/{SID}/download", {})
    wait_until(lambda: acme.statuses().get("ready"), 20, "it is ready")
    [(name,)] = acme.service.sql("SELECT recording_file FROM call_log WHERE call_sid = %s", SID)
    return acme.service.var / "recordings" / str(name)


@contextmanager
def targets(folder: Path, provider: Provider) -> Iterator[list[Target]]:
    """All four, running."""
    prepare(folder / "var")
    own = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address, "RECORDINGS_ACCEL": nginx.ACCEL}
    service = Service(folder / "var", environment=own)
    service.start()
    direct, bare, static = free_port(), free_port(), free_port()
    try:
        acme = customer(service, provider)
        file = warm_recording(acme)
        web = service.environment | {"RECORDINGS_ACCEL": "", "PROSAASIL_ROLE": "web"}
        bare_web = web | {"DJANGO_SETTINGS_MODULE": "benchmarks.bare_settings", "BARE_FILE": str(file)}
        more = (
            f"server {{ listen {LOOPBACK}:{static}; access_log off; sendfile on; tcp_nopush on; root {file.parent}; }}"
        )
        with (
            nginx.running(service.port, file.parent.parent, workers=2, more=more) as proxy,
            process(direct, str(MANAGE), "web", environment=web),
            process(bare, str(MANAGE), "web", environment=bare_web),
        ):
            yield [
                Target("nginx with X-Accel", proxy.port, PATH, acme.token),
                Target("nginx, the file itself", static, f"/{file.name}"),
                Target("the product itself", direct, PATH, acme.token),
                Target("a bare FileResponse", bare, "/"),
            ]
    finally:
        service.stop()
        service.kill()


def main() -> None:
    """Alternate rounds; print medians and the two ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        Provider(auth="none") as provider,
        targets(Path(name), provider) as all_four,
    ):
        for target in all_four:
            measure(target, 1)  # warm them up
        rounds = [[measure(target, options.seconds) for target in all_four] for _ in range(options.rounds)]
    for target, each in zip(all_four, zip(*rounds, strict=True), strict=True):
        rates, costs = zip(*each, strict=True)
        print(f"{target.name:22} {statistics.median(rates):6.0f} requests/s ({min(rates):.0f} to {max(rates):.0f}), "
              f"{statistics.median(costs):.2f} ms of CPU each")  # fmt: skip
    for letter, ours, plain, bar in (("a", 0, 1, 0.5), ("b", 2, 3, 0.6)):
        by_rate = statistics.median(each[ours][0] / each[plain][0] for each in rounds)
        by_cost = statistics.median(each[plain][1] / each[ours][1] for each in rounds)
        names = f"{all_four[ours].name} / {all_four[plain].name}"
        print(f"({letter}) {names}: {by_rate:.2f} by requests/s, {by_cost:.2f} by CPU (bar {bar})")


if __name__ == "__main__":
    main()
