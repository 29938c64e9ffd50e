"""Files a second: one worker process against a bare pool of 64 threads on the same HTTP client, in one run.

    .venv/bin/python -m benchmarks.download_throughput                                     (SQLite)
    .venv/bin/python -m demo.postgres .venv/bin/python -m benchmarks.download_throughput   (PostgreSQL)

500 PCM WAV files of 100 KB each, from a provider in a process of its own that answers after 50 ms. The pool only reads
the bodies; the worker claims, fetches, hashes, writes, verifies, makes durable and commits. Rounds alternate; the
medians count. What a round has written stays until the last one is over: ext4 steps over each inode that was freed in
the last minutes (its `recently_deleted`), and to delete a few thousand files costs the next round up to a third. For
the same reason wait five minutes after a run of the tests.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

from demo import postgres

THREADS = 64
LATENCY = 0.05


def serve() -> None:
    """The provider, until its standard input closes."""
    from demo.provider import Provider

    with Provider(latency=LATENCY, auth="none") as provider:
        print(provider.address, flush=True)
        sys.stdin.read()


def bare(address: str, files: int) -> None:
    """A pool of threads that reads every file with requests."""
    from concurrent.futures import ThreadPoolExecutor

    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
    urls = [f"http://{address}/recordings/bulk-{number:06}.wav" for number in range(files)]
    with ThreadPoolExecutor(THREADS) as pool:
        begin = time.monotonic()
        total = sum(pool.map(lambda url: len(session.get(url).content), urls))
        took = time.monotonic() - begin
    assert total > files * 99_000
    print(json.dumps({"per_second": files / took}))


def ours(address: str, files: int) -> None:
    """One drain over as many queued recordings, in an empty database and an empty storage."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from calls.models import Business, CallLog
    from recordings.download import worker
    from recordings.lifecycle import Ask
    from recordings.models import ProviderAccount, Recording
    from recordings.storage import default_storage

    call_command("migrate", verbosity=0)
    default_storage().prepare()
    business = Business.objects.create(slug="bench", name="Bench")
    ProviderAccount.objects.create(
        business=business, kind="generic", base_url=f"http://{address}", hosts=address, auth="none"
    )
    CallLog.objects.bulk_create(
        CallLog(
            business=business, call_sid=f"CA{number}", started_at=timezone.now(),
            recording_url=f"http://{address}/recordings/bulk-{number:06}.wav",
        )
        for number in range(files)
    )  # fmt: skip
    Recording.objects.all().queue(Ask.PLAY)
    begin = time.monotonic()
    worker.drain()
    took = time.monotonic() - begin
    assert Recording.objects.all().counts()["ready"] == files
    print(json.dumps({"per_second": files / took}))


PARTS = {"bare": bare, "ours": ours}


def measure(part: str, address: str, files: int, database: str | None, folder: str) -> float:
    """Run one part in a process of its own; files a second."""
    var = tempfile.mkdtemp(dir=folder)
    with ExitStack() as stack:
        environment = os.environ | {
            "PROSAASIL_VAR": var, "RECORDINGS_ALLOW_PRIVATE_HOSTS": address, "PROSAASIL_ROLE": "cluster",
            "DJANGO_SETTINGS_MODULE": "prosaasil.settings", "LOG_LEVEL": "WARNING", "RECORDINGS_MIN_FREE_BYTES": "0",
        }  # fmt: skip
        if database and part == "ours":
            environment["DATABASE_URL"] = stack.enter_context(postgres.fresh_database(database))
        command = [sys.executable, "-m", "benchmarks.download_throughput", part, address, "--files", str(files)]
        result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=300)
    return float(json.loads(result.stdout.splitlines()[-1])["per_second"])


def main() -> None:
    """Alternate the two and print the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("part", nargs="?", choices=["serve", "bare", "ours"])
    parser.add_argument("address", nargs="?", default="")
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.part:
        serve() if options.part == "serve" else PARTS[options.part](options.address, options.files)
        return
    database = os.environ.get("DATABASE_URL")
    command = [sys.executable, "-m", "benchmarks.download_throughput", "serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as provider,
    ):
        assert provider.stdin is not None
        assert provider.stdout is not None
        address = provider.stdout.readline().strip()
        rounds = [
            tuple(measure(part, address, options.files, database, folder) for part in ("bare", "ours"))
            for _ in range(options.rounds)
        ]
        provider.stdin.close()
    pool, worker = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"bare pool of {THREADS} threads: {pool:.0f} files/s; one worker: {worker:.0f} files/s")
    print(f"ratio: {worker / pool:.2f}")


if __name__ == "__main__":
    main()
