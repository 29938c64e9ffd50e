"""The faults themselves, one function each: done to a Trial, noted in its tally, what is wrong in its findings."""

import functools
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Concatenate, ParamSpec

import psycopg

from demo.service import wait_until
from faults import points
from faults.kinds import KINDS, kinds, lock_holder
from faults.trial import Trial
from faults.verdict import moment
from prosaasil.supervisor import processes

BREATH = 1.0
"""Seconds at most between a service that stands again and the next kill: some work has begun again by then."""
DIES_WITHIN = 45.0
"""Seconds for which a point waits for someone to pass: the rarest is a retry, or a lease that is let go."""
HELD = 6
"""Recordings that a worker has half of when it is stopped."""
AFTER_A_COMMIT = 0.05
"""Seconds: a commit can be read before its locks are free."""
STOPPED_WITHIN = 10.0
STOPS = 4
"""So many times drains are asked to stop until one has something to give back."""

P = ParamSpec("P")


def noted(blow: Callable[Concatenate[Trial, P], None]) -> Callable[Concatenate[Trial, P], None]:
    """What was waited for in vain is a finding, and the trial goes on."""

    @functools.wraps(blow)
    def noting(trial: Trial, /, *args: P.args, **options: P.kwargs) -> None:
        began = time.monotonic()
        try:
            blow(trial, *args, **options)
        except AssertionError as error:
            trial.findings.append(f"{blow.__name__} {args or ''}: {error}; {trial.state()}")
            if not _supervised(trial):
                trial.service.exit_status()
                trial.start(wait=False)
            trial.stand()
        trial.tally.seconds[blow.__name__] += round(time.monotonic() - began)

    return noting


@noted
def kill_some(trial: Trial) -> None:
    """kill -9 of one to four processes of different kinds at once, as soon as the service stands."""
    found = kinds(trial.service)
    for kind in trial.random.sample(KINDS, trial.random.randint(1, 4)):
        if found[kind]:
            trial.strike(kind, trial.random.choice(found[kind]))
    if not _supervised(trial):
        trial.start(wait=False)
    trial.stand()
    time.sleep(trial.random.uniform(0, BREATH))


@noted
def die_at(trial: Trial, name: str) -> None:
    """Have a process kill itself at this point, in the middle of the load."""
    trial.tally.tries[name] += 1
    points.arm(trial.folder, name, trial.random.randint(1, points.MOST_PASSES) if name in OFTEN else 1)
    passed = functools.partial(points.died_at, trial.folder, name)
    try:
        if name in {"giving_back", "given_back"}:
            _drains_are_stopped(trial, until=passed)
        elif name == "sweeping":
            _somebody_dies(trial, unless=passed)
        pid = wait_until(passed, DIES_WITHIN, f"somebody passes {name}")
    finally:
        points.disarm(trial.folder, name)
    trial.tally.points[name] += 1
    if pid == trial.service.pid:
        trial.service.exit_status()
        trial.start(wait=False)
    trial.stand()
    if name == "taken":
        _work_goes_on(trial)


@noted
def stop_and_continue(trial: Trial, seconds: float | None = None) -> None:
    """SIGSTOP of a worker that has half of some recordings; another takes them over; SIGCONT: it commits nothing.

    Its lease is over because its rows are made older, or, with `seconds`, because so much time passes.
    """
    with trial.load.held():
        sids = _half_downloaded(trial)
        worker, tokens = _who_has_most(trial, sids)
        _stop_without_locks(trial, worker, tokens)
        try:
            if seconds is None:
                _make_leases_old(trial, tokens)
            wait_until(lambda: _taken_over(trial, tokens) == len(tokens), 45 + (seconds or 0), "another takes over")
            trial.tally.stops += 1
            trial.tally.taken_over += len(tokens)
        finally:
            for sid in sids:
                trial.provider.open_gate(trial.load.names[sid])
            os.kill(worker, signal.SIGCONT)
        _all(trial, sids, "ready", 60)
    trial.findings += trial.witness.offences()


@noted
def kill_the_lock_holder(trial: Trial, within: float) -> None:
    """kill -9 of the idle worker that holds the queue's lock; a click after it is to be downloaded `within` seconds."""
    with trial.load.held():
        holder = wait_until(lambda: lock_holder(trial.service), 60, "an idle worker holds the queue's lock")
        (sid,) = trial.load.reserved(1)
        trial.strike("lock holder", holder or 0)
        began = time.monotonic()
        trial.load.ask(sid)
        _all(trial, [sid], "ready", 120)
        seconds = time.monotonic() - began
        trial.tally.holders.append(seconds)
        if seconds > within:
            trial.findings.append(f"Work went on {seconds:.1f} s after the lock's holder was killed, not {within:g}")
        trial.stand()


@noted
def stop_under_load(trial: Trial) -> None:
    """SIGTERM with many downloads under way: soon gone, leases given back, no crash counted."""
    _wait_for_work(trial)
    found = kinds(trial.service)
    workers = {*found["idle worker"], *found["busy worker"]}
    before = _outcomes(trial, workers)
    seconds = trial.service.stop(signal.SIGTERM, seconds=60)
    trial.tally.terms.append(seconds)
    after = _outcomes(trial, workers)
    trial.tally.given_back += after["given_back"] - before["given_back"]
    if seconds > STOPPED_WITHIN:
        trial.findings.append(f"SIGTERM under load took {seconds:.1f} s")
    if after["crashed"] > before["crashed"]:
        trial.findings.append(f"A stop counted {after['crashed'] - before['crashed']} attempts as crashed")
    if after["running"]:
        trial.findings.append(f"{after['running']} leases were not given back at SIGTERM")
    trial.findings += [f"Left running after SIGTERM: {member}" for member in trial.service.members()]
    trial.start()


OFTEN = {"queueing", "ringing", "claimed", "born", "first_bytes", "mid_body", "received", "renamed"}
"""Points that many pass: not always the first who comes dies."""


def _supervised(trial: Trial) -> bool:
    process = processes.read(trial.service.pid)
    return process is not None and not process.zombie


def _drains_are_stopped(trial: Trial, until: Callable[[], int | None]) -> None:
    """SIGTERM to the cluster's main process while it has work, until a drain gives back.

    It may have nothing left to give by then; and the supervisor, who did not ask for that stop, kills the rest of the
    group when its first process has ended.
    """
    for _ in range(STOPS):
        _wait_for_work(trial)
        for pid in kinds(trial.service)["cluster main"]:
            os.kill(pid, signal.SIGTERM)
        with suppress(AssertionError):
            wait_until(until, STOPPED_WITHIN, "a drain gives back")
            return
        trial.stand()


def _work_goes_on(trial: Trial) -> None:
    """An attempt begins. While each process that takes a bell dies of it, none does, and what waits stands still."""
    count = "SELECT COUNT(*) FROM recordings_attempt"
    before = trial.service.sql(count)
    wait_until(lambda: trial.service.sql(count) != before, 60, "work goes on")


def _somebody_dies(trial: Trial, unless: Callable[[], int | None]) -> None:
    """One who has leases, so that the sweep has something to let go; it may have had something before."""
    found = wait_until(lambda: kinds(trial.service)["busy worker"] or unless(), 30, "a worker is busy")
    if isinstance(found, list):
        trial.strike("busy worker", trial.random.choice(found))


def _wait_for_work(trial: Trial) -> None:
    running = "SELECT COUNT(*) FROM recordings_attempt WHERE outcome = 'running' AND bytes_total IS NOT NULL"
    wait_until(lambda: trial.service.sql(running)[0][0] >= 3 and kinds(trial.service)["busy worker"], 60, "work")


def _outcomes(trial: Trial, workers: set[int]) -> Counter[str]:
    """How the attempts of these workers ended; those of the dead may still wait for the sweep."""
    rows = trial.service.sql("SELECT worker, outcome, COUNT(*) FROM recordings_attempt GROUP BY worker, outcome")
    found: Counter[str] = Counter()
    for worker, outcome, count in rows:
        if int(worker.rpartition(":")[2]) in workers:
            found[outcome] += count
    return found


def _half_downloaded(trial: Trial) -> list[str]:
    """Recordings whose first request stays at half the body until its gate opens; the next one's body comes slowly."""
    sids = trial.load.reserved(HELD)
    # So many failures have had the account asked for less at once; these are wanted together.
    trial.service.sql("UPDATE recordings_provideraccount SET slowed_to = NULL, slowed_at = NULL, rests_until = NULL")
    for sid in sids:
        name = trial.load.names[sid]
        trial.provider.misbehave(name, "gate-body", first=1)
        trial.provider.misbehave(name, "slow", bytes_per_second=12_000)
        trial.load.ask(sid)
    _all(trial, sids, "downloading", 60)
    wait_until(lambda: all(trial.provider.count(trial.load.names[sid]).bodies for sid in sids), 30, "half has come")
    return sids


def _all(trial: Trial, sids: Sequence[str], status: str, seconds: float) -> None:
    query = f"SELECT COUNT(*) FROM call_log WHERE recording_download_status = %s AND call_sid IN ({_marks(sids)})"
    wait_until(
        lambda: trial.service.sql(query, status, *sids)[0][0] == len(sids), seconds, f"{len(sids)} of them are {status}"
    )


def _who_has_most(trial: Trial, sids: Sequence[str]) -> tuple[int, dict[int, str]]:
    """A worker's process, and the leases that it holds among these: by recording, their tokens."""
    query = f"""SELECT a.worker, c.id, a.token FROM recordings_attempt a JOIN call_log c ON c.id = a.recording_id
        WHERE a.outcome = 'running' AND c.recording_token = a.token AND c.call_sid IN ({_marks(sids)})"""
    held: dict[int, dict[int, str]] = {}
    for worker, pk, token in trial.service.sql(query, *sids):
        held.setdefault(int(worker.rpartition(":")[2]), {})[pk] = token
    return max(held.items(), key=lambda item: len(item[1]))


def _stop_without_locks(trial: Trial, worker: int, tokens: dict[int, str]) -> None:
    """SIGSTOP just after a beat: else the first that a continued worker does is to beat, and to find its lease lost.

    Amid a transaction it would hold up all who write, on SQLite, or who want its rows: nothing could be taken over.
    """
    query = f"SELECT MIN(recording_lease_until) FROM call_log WHERE id IN ({_marks(tokens)})"
    touch = f"UPDATE call_log SET updated_at = updated_at WHERE id IN ({_marks(tokens)})"
    for _ in range(5):
        _until_changed(trial, query, list(tokens))
        time.sleep(AFTER_A_COMMIT)
        os.kill(worker, signal.SIGSTOP)
        try:
            trial.service.sql(touch, *tokens, patience=1)
            return
        except (sqlite3.OperationalError, psycopg.errors.LockNotAvailable):
            os.kill(worker, signal.SIGCONT)
    raise AssertionError("Wherever the worker is stopped, it holds a lock")


def _until_changed(trial: Trial, query: str, parameters: Sequence[int]) -> None:
    before = trial.service.sql(query, *parameters)
    wait_until(lambda: trial.service.sql(query, *parameters) != before, 15, "the leases are renewed")


def _make_leases_old(trial: Trial, tokens: dict[int, str]) -> None:
    trial.service.sql(
        f"""UPDATE call_log SET recording_lease_until = %s WHERE recording_download_status = 'downloading'
        AND id IN ({_marks(tokens)}) AND recording_token IN ({_marks(tokens)})""",
        moment(trial.service, timedelta(seconds=1)),
        *tokens,
        *tokens.values(),
    )


def _taken_over(trial: Trial, tokens: dict[int, str]) -> int:
    """How many another worker has now, or has had by now."""
    query = f"""SELECT COUNT(*) FROM call_log WHERE recording_download_status IN ('downloading', 'ready')
        AND id IN ({_marks(tokens)}) AND COALESCE(recording_token, '') NOT IN ({_marks(tokens)})"""
    return int(trial.service.sql(query, *tokens, *tokens.values())[0][0])


def _marks(items: Sequence[object] | dict[int, str]) -> str:
    return ", ".join(["%s"] * len(items))
