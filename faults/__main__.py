"""The long form of the proof: a real service, hit as often as you say, and a table of what was seen.

    .venv/bin/python -m faults --kills 1000 --points 50 --stops 200 --holders 50 --terms 20
    .venv/bin/python -m faults --database postgresql …        on a PostgreSQL that is started for it

Exit status: 0 when nothing was found, 1 when anything was (each finding is a line), 2 for a wrong option.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from faults.trial import Trial

REAL_STOP_EVERY = 20
"""Of the stops, one in so many lasts as long as a lease; the others make the rows older."""
REAL_STOP = 35.0


def main() -> int:
    """Parse, run, print."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="prosaasil-faults-") as name, ExitStack() as stack:
        folder = Path(name)
        os.environ |= {"PROSAASIL_VAR": str(folder / "ours"), "DJANGO_SETTINGS_MODULE": "prosaasil.settings"}
        django.setup()
        trial = stack.enter_context(_trial(folder, options))
        until = time.monotonic() + 60 * options.minutes
        for what, count, blow in _plan(options):
            _repeat(trial, what, count, blow, until)
        findings = trial.end()
        _print(trial, findings)
        if options.keep and findings:
            _print_log(trial)
    return 1 if findings else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="kill -9 at random over all kinds of processes")
    parser.add_argument("--points", type=int, default=1, help="kill -9 at each named point, so often")
    parser.add_argument("--only", default="", help="only these points, separated by commas")
    parser.add_argument("--stops", type=int, default=3, help="SIGSTOP of a busy worker past its lease, and SIGCONT")
    parser.add_argument("--holders", type=int, default=3, help="kill -9 of the worker that holds the queue's lock")
    parser.add_argument("--within", type=float, default=15.0, help="seconds in which work must go on after that")
    parser.add_argument("--terms", type=int, default=2, help="SIGTERM under load")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="decides all chance; it is printed")
    parser.add_argument("--minutes", type=float, default=90.0, help="stop by itself after so long, with what there is")
    parser.add_argument("--bug", default="", help="plant a bug (faults/points.py names them): the proof must go red")
    parser.add_argument("--keep", action="store_true", help="print the service's log when anything was found")
    return parser.parse_args()


@contextmanager
def _trial(folder: Path, options: argparse.Namespace) -> "Iterator[Trial]":
    """A service of its own, and its trial begun; whatever is left of it in the end is killed."""
    from demo import postgres
    from demo.service import Service, prepare
    from faults.trial import Trial, environment, origin

    with ExitStack() as stack:
        provider = stack.enter_context(origin())
        url = None
        if options.database == "postgresql":
            url = stack.enter_context(postgres.fresh_database(stack.enter_context(postgres.running()).url()))
        prepare(folder / "var", url)
        points_folder = folder / "points"
        points_folder.mkdir()
        service = Service(
            folder / "var", database_url=url, environment=environment(points_folder, provider, options.bug)
        )
        stack.callback(service.kill)
        trial = Trial(service, provider, points_folder, options.seed)
        trial.begin()
        yield trial


Blow = Callable[["Trial"], None]


def _plan(options: argparse.Namespace) -> "Iterator[tuple[str, Callable[[Trial], int], Blow]]":
    """(what, how many of it the trial has counted, how to do one more) until there are enough."""
    from faults import blows, points

    names = [name for name in options.only.split(",") if name] or list(points.POINTS)
    yield "kills", lambda trial: options.kills - sum(trial.tally.kills.values()), blows.kill_some
    for name in names:
        yield name, _left_at(name, options.points), _at(name)
    yield "stops", lambda trial: options.stops - trial.tally.stops, _stop
    yield "holders", lambda trial: options.holders - len(trial.tally.holders), _holder(options.within)
    yield "terms", lambda trial: options.terms - len(trial.tally.terms), blows.stop_under_load


def _repeat(trial: "Trial", what: str, left: "Callable[[Trial], int]", blow: Blow, until: float) -> None:
    began, first = time.monotonic(), max(0, left(trial))
    while left(trial) > 0:
        if time.monotonic() > until:
            trial.findings.append(f"Out of time: {left(trial)} of {first} {what} were not done; give it more --minutes")
            return
        blow(trial)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{what}: {first - left(trial)} of {first}, {len(trial.findings)} findings \033[K")
    if first:
        seconds = time.monotonic() - began
        found = f"; the last finding: {trial.findings[-1]}" if trial.findings else ""
        sys.stderr.write(f"\r{what}: {first} in {seconds:.0f} s{found}\n")


def _left_at(name: str, count: int) -> "Callable[[Trial], int]":
    return lambda trial: count - trial.tally.tries[name]


def _at(name: str) -> Blow:
    from faults import blows

    return lambda trial: blows.die_at(trial, name)


def _stop(trial: "Trial") -> None:
    from faults import blows

    real = trial.tally.stops % REAL_STOP_EVERY == REAL_STOP_EVERY - 1
    blows.stop_and_continue(trial, REAL_STOP if real else None)


def _holder(within: float) -> Blow:
    from faults import blows

    return lambda trial: blows.kill_the_lock_holder(trial, within)


def _print(trial: "Trial", findings: list[str]) -> None:
    """The figures, and what was found."""
    from faults.figures import figures

    print(f"\nOn {trial.service.vendor}, seed {trial.seed}:")
    for name, value in figures(trial):
        print(f"| {name} | {value} |")
    for finding in findings:
        print(f"FOUND: {finding}")
    print(f"{len(findings)} findings")


def _print_log(trial: "Trial") -> None:
    print(trial.service.log())


if __name__ == "__main__":
    sys.exit(main())
