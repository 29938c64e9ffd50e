"""Many programs ask for the same recordings at the same moment: each is fetched once.

The short form makes 1,000 requests, the long form (LONG=1) 10,000; both from 50 processes to two web workers.
"""

import json
import random
import subprocess
import sys
from collections import Counter

from conftest import StartService
from demo.provider import Provider
from demo.service import wait_until
from recordings.tests.living import LONG, customer

CLIENTS = 50
RECORDINGS = 100
REQUESTS = 10_000 if LONG else 1_000

CLIENT = """
import http.client, json, sys
port, token = int(sys.argv[1]), sys.argv[2]
sids = json.load(sys.stdin)
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
seen = {}
for sid in sids:
    connection.request("GET", f"/api/recordings/{sid}/stream", headers={"Authorization": "Token " + token})
    answer = connection.getresponse()
    answer.read()
    seen[answer.status] = seen.get(answer.status, 0) + 1
print(json.dumps(seen))
"""


def test_a_herd_of_requests_makes_one_fetch_a_recording(service: StartService) -> None:
    with Provider(auth="none", latency=0.1, bulk_bytes=20_000) as provider:
        running = service(environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address, "WEB_WORKERS": "2"})
        acme = customer(running, provider)
        names = {f"CA{number:03}": f"bulk-{number:06}" for number in range(RECORDINGS)}
        acme.import_recordings(names)

        answers = _stampede(running.port, acme.token, list(names))

        wait_until(lambda: acme.statuses() == {"ready": RECORDINGS}, 60, "every recording is ready")
        assert sum(answers.values()) == REQUESTS
        assert set(answers) <= {"200", "202"}, "nothing but 'here it is' and 'it is coming'"
        assert {name: provider.count(name).requests for name in names.values()} == dict.fromkeys(names.values(), 1)
        assert running.sql("SELECT COUNT(*) FROM recordings_attempt") == [(RECORDINGS,)]
        assert "database is locked" not in running.log()
        assert dict(running.sql("SELECT call_sid, recording_sha256 FROM call_log")) == {
            sid: provider.audio(provider.url(name, "wav")).sha256 for sid, name in names.items()
        }


def _stampede(port: int, token: str, sids: list[str]) -> Counter[str]:
    """All clients at once, each in an order of its own; statuses by count."""
    shuffled = random.Random(7)
    clients: list[tuple[subprocess.Popen[str], str]] = []
    for _ in range(CLIENTS):
        share = [shuffled.choice(sids) for _ in range(REQUESTS // CLIENTS - len(sids) // CLIENTS)]
        share += sids[len(clients) :: CLIENTS]  # together they ask for every recording
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", CLIENT, str(port), token],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        clients.append((process, json.dumps(share)))
    for process, orders in clients:  # all have started; their orders make them go
        assert process.stdin
        process.stdin.write(orders)
        process.stdin.close()
    total: Counter[str] = Counter()
    for process, _ in clients:
        assert process.stdout
        with process:
            total.update(json.loads(process.stdout.read()))
    return total
