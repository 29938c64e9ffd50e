"""Very many who ask for the same recordings at once: each is queued once and fetched once, and nobody sees an error.

    .venv/bin/python -m faults.provider.asks [--calls 500000] [--processes 50] [--recordings 1000] [--requests 50000]
    .venv/bin/python -m demo.postgres .venv/bin/python -m faults.provider.asks

First the verb (askers.py), called from processes of its own on a database of its own, with nothing that downloads:
exactly one transition and one bell a recording. Then the same over HTTP, POST download and GET stream mixed, at a real
service: exactly one fetch a recording at the provider, and no answer but 200 and 202.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from demo import postgres
from demo.provider import Provider
from demo.service import Service, prepare, wait_until
from faults.provider.report import Report, empty_database, quiet
from recordings.models import Recording
from recordings.tests import rows
from recordings.tests.living import Customer, customer
from recordings.tests.races import database_url
from recordings.tests.transitions import Witness

CLIENT = """
import http.client, json, random, sys, time
port, token, seed = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
orders = json.load(sys.stdin)
rng, seen = random.Random(seed), {}
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
headers = {"Authorization": "Token " + token, "Content-Type": "application/json"}
for sid in orders:
    method, verb = rng.choice((("POST", "download"), ("GET", "stream")))
    body = "{}" if method == "POST" else None
    connection.request(method, f"/api/recordings/{sid}/{verb}", body=body, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    what = f"{method} {answer.status}" + ("" if answer.status < 300 else f" {body.decode(errors='replace')}")
    seen[what] = seen.get(what, 0) + 1
print(json.dumps(seen))
"""
LIFE = [("missing", "queued"), ("queued", "downloading"), ("downloading", "ready")]


def prove_verb(calls: int, processes: int, recordings: int, seed: int) -> Report:
    """On an empty database; what it makes there is left."""
    report, witness = Report(), Witness()
    for _ in range(recordings):
        rows.recording()
    witness.watch()
    began = time.monotonic()
    command = [sys.executable, "-m", "faults.provider.askers", str(processes), str(calls // processes), str(seed)]
    done = subprocess.run(
        command, env=os.environ | {"DATABASE_URL": database_url()}, stdout=subprocess.PIPE, text=True, check=True
    )
    answers: dict[str, int] = json.loads(done.stdout)
    took, moves = time.monotonic() - began, Counter(witness.pairs())
    errors = {answer: count for answer, count in answers.items() if answer.startswith("error")}
    report.expect(not errors, f"errors: {errors}")
    report.expect(answers.get("enqueued") == recordings, f"{answers.get('enqueued')} were told that they enqueued it")
    report.expect(moves == {LIFE[0]: recordings}, f"transitions: {dict(moves)}")
    report.expect(rows.bells() == recordings, f"{rows.bells()} bells")
    report.expect(Recording.objects.counts()["queued"] == recordings, f"rows: {Recording.objects.counts()}")
    report.findings += witness.offences()
    witness.dismiss()
    report.figures = {
        "calls of the verb": sum(answers.values()), "processes": processes, "recordings": recordings, "seed": seed,
        **answers, "transitions": moves[LIFE[0]], "bells": rows.bells(), "errors": sum(errors.values()),
        "seconds": round(took, 1),
    }  # fmt: skip
    return report


def prove_http(acme: Customer, requests: int, clients: int, recordings: int, seed: int) -> Report:
    """Against a running service that has nothing yet."""
    report, service, provider = Report(), acme.service, acme.provider
    names = {f"CA{number:05}": f"bulk-{number:06}" for number in range(recordings)}
    acme.import_recordings(names)
    witness = Witness(service.sql, service.vendor)
    witness.watch()
    began = time.monotonic()
    answers = _stampede(acme, list(names), requests, clients, seed)
    took = time.monotonic() - began
    wait_until(lambda: acme.statuses() == {"ready": recordings}, 120, "every recording is ready")
    fetches = Counter(provider.count(name).requests for name in names.values())
    moves = Counter(witness.pairs())
    ((attempts,),) = service.sql("SELECT COUNT(*) FROM recordings_attempt")
    odd = {answer: count for answer, count in answers.items() if answer.split()[1] not in {"200", "202"}}
    report.expect(not odd, f"answers: {odd}")
    report.expect(sum(answers.values()) == requests, f"{sum(answers.values())} of {requests} were answered")
    report.expect(fetches == {1: recordings}, f"requests at the provider a recording: {dict(fetches)}")
    report.expect(attempts == recordings, f"{attempts} attempts")
    report.expect(moves == dict.fromkeys(LIFE, recordings), f"transitions: {moves}")
    report.expect("database is locked" not in service.log(), "database is locked")
    report.figures = {
        "requests over HTTP": sum(answers.values()), "clients": clients, "recordings": recordings, "seed": seed,
        **dict(sorted(answers.items())), "fetches": sum(times * count for times, count in fetches.items()),
        "attempts": attempts, "transitions missing → queued": moves.get(LIFE[0], 0), "seconds": round(took, 1),
    }  # fmt: skip
    return report


def _stampede(acme: Customer, sids: Sequence[str], requests: int, clients: int, seed: int) -> Counter[str]:
    """All clients at once, each in an order of its own; answers by method and status."""
    rng, started = random.Random(seed), list[tuple[subprocess.Popen[str], str]]()
    for number in range(clients):
        share = [rng.choice(sids) for _ in range(len(range(number, requests, clients)))]
        share[: len(sids[number::clients])] = sids[number::clients]  # together they ask for every recording
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", CLIENT, str(acme.service.port), acme.token, str(seed + number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append((process, json.dumps(share)))
    for process, orders in started:  # all have started; their orders make them go
        assert process.stdin is not None  # noqa: S101 - for the types
        process.stdin.write(orders)
        process.stdin.close()
    total = Counter[str]()
    for process, _ in started:
        assert process.stdout is not None  # noqa: S101
        with process:
            total.update(json.loads(process.stdout.read() or '{"died 0": 1}'))
    return total


@contextmanager
def own_service(provider: Provider, **environment: str) -> Iterator[Service]:
    """A service that was prepared and has not been started; its data, and what is left of it, go at the end."""
    given = os.environ.get("DATABASE_URL", "")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prosaasil-proof-")))
        url = stack.enter_context(postgres.fresh_database(given)) if given.startswith("postgres") else None
        prepare(folder / "var", url)
        allowed = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address}
        service = Service(folder / "var", database_url=url, environment=allowed | environment)
        try:
            yield service
            service.stop()
        finally:
            service.kill()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500_000, help="of the verb; 0: not this part")
    parser.add_argument("--processes", type=int, default=50, help="that call the verb, and clients over HTTP")
    parser.add_argument("--recordings", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=50_000, help="over HTTP; 0: not this part")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    given = parser.parse_args()
    quiet()
    failed = 0
    if given.calls:
        with empty_database():
            failed |= prove_verb(given.calls, given.processes, given.recordings, given.seed).say()
    if given.requests:
        with Provider(auth="none", bulk_bytes=4_000) as provider, own_service(provider, WEB_WORKERS="2") as service:
            service.start()
            acme = customer(service, provider)
            failed |= prove_http(acme, given.requests, given.processes, given.recordings, given.seed).say()
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
