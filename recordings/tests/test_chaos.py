"""kill -9 of any process of a running service, under clicks: every recording is ready in the end, with the right bytes.

The short form kills 5 times, the long form (LONG=1) 30.
"""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from conftest import StartService
from demo.provider import Provider
from demo.service import Service, wait_until
from recordings.tests.living import LONG, Customer, customer

KILLS = 30 if LONG else 5
RECORDINGS = 20 * KILLS
STUCK = 60  # seconds


def test_after_any_kills_every_recording_is_ready_with_the_providers_bytes(service: StartService) -> None:
    with Provider(auth="none", latency=0.3, bulk_bytes=50_000) as provider:
        running = service(environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address})
        acme = customer(running, provider)
        names = {f"CA{number:04}": f"bulk-{number:06}" for number in range(RECORDINGS)}
        acme.import_recordings(names)
        sids = iter(names)

        with watched(running) as stuck:
            for victim in itertools.islice(itertools.cycle(VICTIMS), KILLS):
                batch = list(itertools.islice(sids, RECORDINGS // KILLS))
                clicks = threading.Thread(target=click_until_taken, args=(acme, batch))
                clicks.start()
                os.kill(victim(running), signal.SIGKILL)
                clicks.join(60)
                assert not clicks.is_alive(), "the web did not come back"
                wait_until(lambda: settled(running), 30, "the group is whole again")
            wait_until(lambda: acme.statuses() == {"ready": RECORDINGS}, 120, "every recording is ready")

        assert stuck == []
        right = {sid: provider.audio(provider.url(name, "wav")).sha256 for sid, name in names.items()}
        assert dict(running.sql("SELECT call_sid, recording_sha256 FROM call_log")) == right
        assert running.sql("SELECT COUNT(*) FROM recordings_attempt WHERE outcome = 'running'") == [(0,)]


# --- victims


def cluster_main(running: Service) -> int:
    return running.group("cluster")[0].pid


def sentinel(running: Service) -> int:
    main = cluster_main(running)
    return next(member.pid for member in running.group("cluster") if member.parent == main)


def busy_worker(running: Service) -> int:
    """One that holds a lease."""
    query = "SELECT worker FROM recordings_attempt WHERE outcome = 'running' ORDER BY id DESC LIMIT 1"
    alive = {member.pid for member in running.group("cluster")}

    def found() -> int | None:
        rows = running.sql(query)
        pid = int(rows[0][0].rpartition(":")[2]) if rows else 0
        return pid if pid in alive else None

    return wait_until(found, 20, "a worker is busy") or 0


def web_worker(running: Service) -> int:
    main = running.group("web")[0].pid
    return next(member.pid for member in running.group("web") if member.parent == main)


VICTIMS: list[Callable[[Service], int]] = [cluster_main, busy_worker, web_worker, sentinel]


# --- around them


def click_until_taken(acme: Customer, sids: list[str]) -> None:
    """Press Play for each, as a person does: again when the web does not answer."""
    until = time.monotonic() + 50
    for sid in sids:
        while time.monotonic() < until:
            try:
                status, _, _ = acme.request("POST", f"/api/recordings/{sid}/download", {})
            except OSError:
                time.sleep(0.05)
                continue
            assert status in {200, 202}, status
            break


def settled(running: Service) -> bool:
    """Web and cluster stand as they do after a start: no process too few, and none left over."""
    web, cluster = running.group("web"), running.group("cluster")
    return len(web) == 3 and len(cluster) == 7 and len([member for member in cluster if member.leads]) == 1


@contextmanager
def watched(running: Service) -> Iterator[list[str]]:
    """Look each second for rows that stand still; what stood too long is in the list."""
    stuck: list[str] = []
    done = threading.Event()

    def look() -> None:
        since: dict[tuple[object, ...], float] = {}
        query = (
            "SELECT call_sid, recording_download_status, recording_token, recording_lease_until,"
            " recording_last_enqueue_at FROM call_log WHERE recording_download_status IN ('queued', 'downloading')"
        )
        while not done.wait(1):
            rows = set(running.sql(query))
            since = {row: since.get(row, time.monotonic()) for row in rows}
            stuck.extend(str(row) for row, start in since.items() if time.monotonic() - start > STUCK)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield stuck
    finally:
        done.set()
        thread.join()
