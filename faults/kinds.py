"""Which process of a service is which, told from outside: by its group, its parent, its age and what it does."""

import platform
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from demo.service import Member, Service
from prosaasil.supervisor import processes

WORKERS, WEB_WORKERS = 3, 2
IN_ALL = 1 + (2 + WORKERS + 2) + (1 + WEB_WORKERS)
"""Supervisor; main, sentinel, workers, monitor, pusher; web's main and its workers."""

KINDS = (
    "supervisor", "cluster main", "sentinel", "pusher", "monitor", "idle worker", "busy worker", "web main",
    "web worker",
)  # fmt: skip

_READ = {"x86_64": "0", "aarch64": "63"}[platform.machine()]
"""The number of read(2), as /proc/PID/syscall tells what a process waits in."""


def kinds(service: Service) -> dict[str, list[int]]:
    """The processes of each kind. A cluster that does not stand yet has no sentinel, or only the first of the rest."""
    members = service.members()
    cluster = [member for member in members if member.role == "cluster"]
    main = next((member.pid for member in cluster if member.leads), 0)
    sentinel = next((member.pid for member in cluster if member.parent == main), 0)
    rest = _by_age(member for member in cluster if member.parent == sentinel)
    # django-q2 starts them in this order; a worker that dies is not replaced under `serve`, all of them are.
    workers, monitor, pusher = rest[:WORKERS], rest[WORKERS : WORKERS + 1], rest[WORKERS + 1 :]
    busy = _busy(service)
    return {
        "supervisor": [service.pid],
        "cluster main": [main] if main else [],
        "sentinel": [sentinel] if sentinel else [],
        "pusher": pusher,
        "monitor": monitor,
        "idle worker": [pid for pid in workers if pid not in busy],
        "busy worker": [pid for pid in workers if pid in busy],
        "web main": [member.pid for member in members if member.role == "web" and member.leads],
        "web worker": [member.pid for member in members if member.role == "web" and not member.leads],
    }


def stands(service: Service) -> bool:
    """Whether all processes are there, and none too many: no orphan of those before."""
    if len(processes.descendants(service.pid)) != IN_ALL:  # cheap, for it is asked often
        return False
    found = {kind: len(pids) for kind, pids in kinds(service).items()}
    workers = found["idle worker"] + found["busy worker"]
    one_each = all(found[kind] == 1 for kind in ("cluster main", "sentinel", "monitor", "pusher", "web main"))
    whole = one_each and (workers, found["web worker"]) == (WORKERS, WEB_WORKERS)
    return whole and len(service.members()) == IN_ALL


def lock_holder(service: Service) -> int | None:
    """The idle worker that holds the lock of the queue: it reads the pipe, while the others wait for the lock."""
    for pid in kinds(service)["idle worker"]:
        with suppress(OSError):
            if Path(f"/proc/{pid}/syscall").read_text().split()[0] == _READ:
                return pid
    return None


def descriptors(pid: int) -> int:
    """How many it has open; 0 when it is gone."""
    with suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0


def _busy(service: Service) -> set[int]:
    """Those that hold a lease."""
    rows = service.sql("SELECT DISTINCT worker FROM recordings_attempt WHERE outcome = 'running'")
    return {int(worker.rpartition(":")[2]) for (worker,) in rows}


def _by_age(members: Iterable[Member]) -> list[int]:
    born = {}
    for member in members:
        with suppress(OSError):  # proc(5): the start time is the 22nd field, the 20th after the name
            born[member.pid] = int(Path(f"/proc/{member.pid}/stat").read_text().rpartition(")")[2].split()[19])
    return sorted(born, key=lambda pid: (born[pid], pid))
