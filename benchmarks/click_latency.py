"""How long until work begins: POST download → Attempt row, against a task of stock django-q2; and idle CPU.

    .venv/bin/python -m benchmarks.click_latency

Both are idle, on SQLite, without Redis. Ours: from sending the request to the time in the Attempt row (the database's
clock, on the same machine). Stock: from `async_task` to the first statement of the task. Rounds alternate.
"""

import argparse
import http.client
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from demo.provider import Provider
from demo.service import MANAGE, Service, prepare, wait_until

PAUSES = (0.2, 0.6)  # seconds between clicks, at random: not in step with the stock queue's polling
PASSWORD = "benchmark-only-1"  # noqa: S105


def first_statement(path: str, number: int) -> None:
    """The stock queue's task: its first statement takes the time."""
    now = time.time()
    with open(path, "a") as file:
        file.write(f"{number} {now}\n")


class Ours:
    """A running service with as many recordings to click as there are rounds."""

    def __init__(self, folder: Path, provider: Provider, clicks: int) -> None:
        var = folder / "ours"
        prepare(var)
        self.service = Service(var, environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address})
        self.service.start()
        manage = self.service.manage
        manage("create_business", "bench", "--name", "Bench", "--provider", "generic", "--base-url", provider.base_url,
               "--hosts", provider.address, "--auth", "none")  # fmt: skip
        member = manage(
            "create_member",
            "bench",
            "--business",
            "bench",
            "--role",
            "listener",
            "--password-stdin",
            "--token",
            stdin=PASSWORD,
        )
        self.token = member.stdout.split()[-1]
        lines = (
            {
                "call_sid": f"CA{number}",
                "started_at": "2026-01-01T00:00:00Z",
                "recording_url": provider.url(f"bulk-{number}", "wav"),
            }
            for number in range(clicks)
        )
        manage("import_calls", "-", "--business", "bench", stdin="\n".join(json.dumps(line) for line in lines))
        self.connection = http.client.HTTPConnection("127.0.0.1", self.service.port)

    def click(self, number: int) -> float:
        """Milliseconds from sending the POST to the Attempt row."""
        sent = datetime.now(UTC)
        path = f"/api/recordings/CA{number}/download"
        self.connection.request("POST", path, body=b"{}", headers={
            "Authorization": f"Token {self.token}", "Content-Type": "application/json"})  # fmt: skip
        answer = self.connection.getresponse()
        answer.read()
        assert answer.status == 202, answer.status
        query = (
            "SELECT a.started_at FROM recordings_attempt a JOIN call_log c ON c.id = a.recording_id"
            " WHERE c.call_sid = %s"
        )
        rows = wait_until(lambda: self.service.sql(query, f"CA{number}"))
        return (datetime.fromisoformat(rows[0][0]).replace(tzinfo=UTC) - sent).total_seconds() * 1000

    def idle_share(self, seconds: float) -> float:
        """Share of one core that all processes of the service use while nobody asks for anything."""
        time.sleep(2)  # let the last download end
        before = self._ticks()
        time.sleep(seconds)
        return (self._ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds

    def _ticks(self) -> int:
        fields = (
            Path(f"/proc/{member.pid}/stat").read_text().rpartition(")")[2].split() for member in self.service.members()
        )
        return sum(sum(map(int, each[11:15])) for each in fields)  # and those of processes that ended meanwhile


class Stock:
    """A stock cluster on a database of its own."""

    def __init__(self, folder: Path) -> None:
        var = folder / "stock"
        prepare(var)
        self.file = folder / "times"
        self.file.touch()
        environment = os.environ | {"PROSAASIL_VAR": str(var), "DJANGO_SETTINGS_MODULE": "benchmarks.stock_settings"}
        self.cluster = subprocess.Popen([sys.executable, str(MANAGE), "qcluster"], env=environment, cwd=MANAGE.parent)
        code = "import django; django.setup(); from benchmarks.click_latency import ask_stock; ask_stock()"
        self.asker = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=MANAGE.parent, text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def click(self, number: int) -> float:
        """Milliseconds from async_task to the task's first statement."""
        assert self.asker.stdin is not None
        assert self.asker.stdout is not None
        self.asker.stdin.write(f"{self.file} {number}\n")
        self.asker.stdin.flush()
        sent = float(self.asker.stdout.readline())
        times = wait_until(
            lambda: [line for line in self.file.read_text().splitlines() if line.startswith(f"{number} ")]
        )
        return (float(times[0].split()[1]) - sent) * 1000

    def stop(self) -> None:
        """End both processes."""
        self.asker.communicate("")
        self.cluster.send_signal(signal.SIGTERM)
        self.cluster.wait(30)


def ask_stock() -> None:
    """Enqueue a task for each line of standard input, and say when."""
    from django_q.tasks import async_task

    for line in sys.stdin:
        path, number = line.split()
        sent = time.time()
        async_task("benchmarks.click_latency.first_statement", path, int(number))
        print(sent, flush=True)


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def main() -> None:
    """Alternate clicks, then watch the idle service."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clicks", type=int, default=60)
    parser.add_argument("--idle-seconds", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Provider(auth="none") as provider:
        ours, stock = Ours(Path(name), provider, options.clicks + 5), Stock(Path(name))
        try:
            for number in range(5):  # warm both up
                ours.click(number), stock.click(number)
            pause = random.Random(1)
            times: tuple[list[float], list[float]] = ([], [])
            for number in range(5, options.clicks + 5):
                times[0].append(ours.click(number))
                time.sleep(pause.uniform(*PAUSES))
                times[1].append(stock.click(number))
                time.sleep(pause.uniform(*PAUSES))
            stock.stop()
            idle = ours.idle_share(options.idle_seconds)
        finally:
            ours.service.stop()
            ours.service.kill()
            stock.cluster.kill()
    medians = [statistics.median(each) for each in times]
    print(f"click → attempt: p50 {medians[0]:.1f} ms, p95 {p95(times[0]):.1f} ms")
    print(f"stock django-q2: p50 {medians[1]:.1f} ms, p95 {p95(times[1]):.1f} ms")
    print(f"ratio of p95: {p95(times[0]) / p95(times[1]):.3f}; idle service: {idle * 100:.2f} % of a core")


if __name__ == "__main__":
    main()
