"""How soon a click begins while a backfill runs: POST download → Attempt row, beside 100,000 that wait, against idle.

    .venv/bin/python -m benchmarks.click_beside_backfill
    .venv/bin/python -m demo.postgres .venv/bin/python -m benchmarks.click_beside_backfill

One service, in turns: a block of clicks while the backfill rests, and one while it runs. The provider, in a process
of its own, takes LATENCY seconds for an answer, as a real one far away does. Half the clicks are of the business whose
backfill it is.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.click_latency import PAUSES, p95
from demo import postgres
from demo.provider import Provider
from demo.service import Service, prepare, wait_until
from recordings.tests.living import Customer, customer

LATENCY = 0.5
BYTES = 50_000
UNDER_WAY = "SELECT COUNT(*) FROM call_log WHERE recording_download_status = 'downloading'"


def serve() -> None:
    """The provider, until its standard input closes."""
    with Provider(auth="none", latency=LATENCY, bulk_bytes=BYTES) as provider:
        print(provider.port, flush=True)
        sys.stdin.read()


@contextmanager
def provider_apart() -> Iterator[Provider]:
    """It serves in another process, whose work is none of the asker's; what we have of it knows its addresses."""
    command = [sys.executable, "-m", "benchmarks.click_beside_backfill", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Provider(port=int(process.stdout.readline()), auth="none")
        process.communicate("", timeout=30)


def lines(prefix: str, count: int, provider: Provider) -> str:
    """Calls to import, each with a recording of its own."""
    return "\n".join(
        json.dumps({
            "call_sid": f"{prefix}{number}", "started_at": "2026-01-01T00:00:00Z",
            "recording_url": provider.url(f"bulk-{number}", "wav"),
        })
        for number in range(count)
    )  # fmt: skip


def click(service: Service, who: Customer, sid: str) -> float:
    """Milliseconds from sending the POST to the Attempt row."""
    sent = datetime.now(UTC)
    status, _, _ = who.request("POST", f"/api/recordings/{sid}/download", {})
    assert status == 202, status
    query = (
        "SELECT a.started_at FROM recordings_attempt a JOIN call_log c ON c.id = a.recording_id WHERE c.call_sid = %s"
    )
    started = wait_until(lambda: service.sql(query, sid))[0][0]
    if isinstance(started, str):
        started = datetime.fromisoformat(started).replace(tzinfo=UTC)
    return float((started - sent).total_seconds() * 1000)


def pause(service: Service, until: datetime | None) -> None:
    """Let the backfill wait, or go on; its clicks wait with it, so none is made meanwhile."""
    service.sql("UPDATE recordings_provideraccount SET rests_until = %s", until)


def measure(service: Service, sellers: list[Customer], clicks: int, blocks: int) -> tuple[list[float], list[float]]:
    """The times of idle clicks, and of clicks beside the backfill."""
    times: tuple[list[float], list[float]] = ([], [])
    lot = random.Random(1)
    number = 0
    for _ in range(blocks):
        for busy in (False, True):
            if busy:
                pause(service, None)
                time.sleep(5)  # it is well under way
            for _ in range(clicks):
                if not busy:  # a rest is bounded: renewed before each click
                    pause(service, datetime.now(UTC) + timedelta(seconds=50))
                who = sellers[number % 2]
                took = click(service, who, f"{who.slug}{number}")
                times[busy].append(took)
                number += 1
                time.sleep(lot.uniform(*PAUSES))
            if busy:
                pause(service, datetime.now(UTC) + timedelta(seconds=50))
                wait_until(lambda: service.sql(UNDER_WAY) == [(0,)], 60, "nothing is under way")
    return times


def main() -> None:
    """Measure, and print both and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clicks", type=int, default=40, help="in each block")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--backfill", type=int, default=100_000)
    parser.add_argument("--serve", action="store_true", help="be the provider")
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    server = os.environ.get("DATABASE_URL")
    with tempfile.TemporaryDirectory() as name, provider_apart() as provider:
        var = Path(name) / "var"
        if server:
            with postgres.fresh_database(server) as url:
                run(var, url, provider, options)
        else:
            run(var, None, provider, options)


def run(var: Path, database_url: str | None, provider: Provider, options: argparse.Namespace) -> None:
    """One service from its start to its end."""
    prepare(var, database_url)
    service = Service(var, database_url=database_url, environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address})
    service.start()
    try:
        sellers = [customer(service, provider, slug) for slug in ("acme", "globex")]
        each = 2 * options.clicks * options.blocks + 3
        for seller in sellers:
            service.manage("import_calls", "-", "--business", seller.slug, stdin=lines(seller.slug, each, provider))
        service.manage("import_calls", "-", "--business", "acme", stdin=lines("BULK", options.backfill, provider))
        pause(service, datetime.now(UTC) + timedelta(seconds=50))
        service.sql(
            "UPDATE call_log SET recording_download_status = 'queued', recording_last_enqueue_at = updated_at"
            " WHERE call_sid LIKE 'BULK%%'"
            if database_url
            else "UPDATE call_log SET recording_download_status = 'queued', recording_last_enqueue_at = updated_at"
            " WHERE call_sid LIKE 'BULK%'"
        )
        for number in range(3):  # warm up
            click(service, sellers[1], f"globex{each - 1 - number}")
        idle, busy = measure(service, sellers, options.clicks, options.blocks)
        [(done,)] = service.sql("SELECT COUNT(*) FROM call_log WHERE recording_download_status = 'ready'")
    finally:
        service.stop()
        service.kill()
    print(f"idle:            p50 {statistics.median(idle):.1f} ms, p95 {p95(idle):.1f} ms")
    print(f"beside backfill: p50 {statistics.median(busy):.1f} ms, p95 {p95(busy):.1f} ms ({done} were downloaded)")
    print(f"ratio of p95: {p95(busy) / p95(idle):.2f}")


if __name__ == "__main__":
    main()
