"""What must hold when everything has come to rest. Each check answers what is wrong, in words."""

import json
import os
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.service import Service, wait_until
from faults.kinds import descriptors
from faults.load import Load
from faults.watch import Watch
from recordings.storage import MARKER
from recordings.tests.transitions import Move, Witness

REST_WITHIN = 150.0
"""Seconds until the last recording is ready: a lease, a sweep and some tries."""
PLAYS, BATCHES = 32, 4
SPARE = 8
"""Descriptors that a process may open and keep: a connection to the database more, a thread's pipe."""
A_DAY_AGO = timedelta(hours=24, minutes=30)
"""When unfinished files are old, and the clean-up still looks at what ended."""
CLEAN_UP = "from recordings.tasks import clean_up; clean_up()"


def moment(service: Service, ago: timedelta) -> str:
    """A time as its database has it."""
    then = f"{datetime.now(UTC) - ago:%Y-%m-%d %H:%M:%S.%f}"
    return then if service.vendor == "sqlite" else f"{then}+00"


def all_ready(load: Load, watch: Watch) -> list[str]:
    """Every recording that was asked for is ready in the end; people ask again for one that has failed."""
    until = time.monotonic() + REST_WITHIN
    query = "SELECT call_sid, recording_download_status, recording_reason FROM call_log"
    while True:
        rows = load.customer.service.sql(query + " WHERE recording_download_status <> 'ready'")
        left = [row for row in rows if row[1] != "missing" or row[0] in load.asked]
        if not left:
            return []
        if time.monotonic() > until:
            return [f"{sid} was asked for and is {status} in the end ({reason})" for sid, status, reason in left]
        for sid, status, _ in left:
            if status == "failed":
                load.customer.request("POST", f"/api/recordings/{sid}/download", {})
        time.sleep(0.5)


def no_leak(service: Service, load: Load) -> list[str]:
    """No process has more and more descriptors open, the more is played; half of the plays break off.

    Pools grow with how many come at once, up to a point. A process that grows with each of several batches leaks.
    """
    _plays(load)  # what is opened once is opened now
    first = before = _at_rest(service)
    leaking = set(first)
    for _ in range(BATCHES):
        _plays(load)
        leaking &= _grown(before)
        if not leaking:
            return []
        before = _at_rest(service)
    roles = {member.pid: member.role for member in service.members()}
    played = BATCHES * PLAYS
    return [
        f"Process {pid} ({roles.get(pid)}) had {first[pid]} descriptors open, and {before[pid]} after {played} plays"
        for pid in leaking
        if pid in before
    ]


def _grown(before: dict[int, int]) -> set[int]:
    """Those that have more than they had, and do not close them."""
    grown: set[int] = set()

    def back() -> bool:
        nonlocal grown
        grown = {pid for pid in before if descriptors(pid) - before[pid] > SPARE}
        return not grown

    with suppress(AssertionError):
        wait_until(back, 10, "descriptors are closed")
    return grown


def no_process(service: Service) -> list[str]:
    """Nothing is left of a service that was stopped."""
    return [f"Left running after the stop: {member}" for member in service.members()]


def witnessed(witness: Witness, service: Service) -> list[str]:
    """No illegal move; each recording became ready once, and stayed it."""
    moves = witness.moves()
    found = witness.offences()
    commits = Counter(move.recording_id for move in moves if move.after == "ready")
    found += [f"recording {pk} became ready {count} times" for pk, count in commits.items() if count > 1]
    found += [f"recording {move.recording_id} was ready and became {move.after}" for move in moves if _was_lost(move)]
    last = {move.recording_id: move.after for move in moves}
    found += [f"recording {pk} was queued once and ended {after}" for pk, after in last.items() if after != "ready"]
    query = "SELECT recording_id FROM recordings_attempt WHERE outcome IN ('ready', 'adopted') GROUP BY recording_id"
    twice = service.sql(f"{query} HAVING COUNT(*) > 1")
    return found + [f"recording {pk} has two attempts that say they committed it" for (pk,) in twice]


def right_rows(service: Service, load: Load) -> list[str]:
    """Each ready row has the hash of the provider's bytes, and no attempt says that it still runs."""
    provider, found = load.customer.provider, []
    for sid, sha256 in service.sql(
        "SELECT call_sid, recording_sha256 FROM call_log WHERE recording_download_status = 'ready'"
    ):
        if provider.audio(provider.url(load.names[sid], "wav")).sha256 != sha256:
            found.append(f"{sid} is ready with other bytes than the provider's")
    running = service.sql("SELECT COUNT(*) FROM recordings_attempt WHERE outcome = 'running'")[0][0]
    return found + ([f"{running} attempts say that they run, and nothing does"] if running else [])


def no_orphan_file(service: Service) -> list[str]:
    """A day later the clean-up leaves the files of ready recordings, and nothing for reconcile to do."""
    root = service.var / "recordings"
    service.sql("UPDATE recordings_attempt SET ended_at = %s WHERE outcome <> 'running'", moment(service, A_DAY_AGO))
    old = time.time() - A_DAY_AGO.total_seconds()
    for path in root.rglob("*"):
        if path.suffix in {".part", ".new"}:
            os.utime(path, (old, old))
    service.manage("shell", "-c", CLEAN_UP)
    report = json.loads(service.manage("reconcile_recordings", "--verify", "--dry-run", "--json").stdout)
    report = {name: count for name, count in report.items() if name not in {"checked", "dry_run"} and count}
    found = [f"After the clean-up reconcile_recordings would still put right: {report}"] if report else []
    return found + _files_of_nothing(service, root)


def _files_of_nothing(service: Service, root: Path) -> list[str]:
    rows = service.sql("SELECT recording_file FROM call_log WHERE recording_download_status = 'ready'")
    named = {str(file) for (file,) in rows}
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {MARKER}
    found = [f"No such file, though its row is ready: {name}" for name in named - there]
    return found + [f"A file that no row names: {name}" for name in there if name.removesuffix(".peaks") not in named]


def _was_lost(move: Move) -> bool:
    return move.before == "ready"


def _plays(load: Load) -> None:
    """Of recordings that nobody has played before: half of them to the end, half broken off."""
    sids = load.reserved(PLAYS)
    threads = [threading.Thread(target=load.listen, args=(sid, 60.0), kwargs={"most": most})
               for sid, most in zip(sids, [None, 1] * (PLAYS // 2), strict=True)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = "SELECT COUNT(*) FROM call_log WHERE recording_download_status IN ('queued', 'downloading')"
    wait_until(lambda: load.customer.service.sql(left) == [(0,)], 60, "what was played is ready")


def _at_rest(service: Service) -> dict[int, int]:
    """The open descriptors of each process, once the counts stay."""
    counts: dict[int, int] = {}

    def same() -> bool:
        nonlocal counts
        before, counts = counts, {member.pid: descriptors(member.pid) for member in service.members()}
        time.sleep(0.5)
        return before == counts

    wait_until(same, 20, "the descriptors are at rest")
    return counts
