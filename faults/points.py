"""Named places in the product where a process kills itself with SIGKILL, once for each time that the place is armed.

The product knows nothing of them. Python runs planted/sitecustomize.py in each process of a service under proof, which
has the named functions wrapped as their modules are imported. To arm a point is to put files into the folder that
FAULTS names; a pass takes one of them away, and who takes the last one dies. Unlinking is atomic, so it is one process.
"""

import functools
import importlib.machinery
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = "FAULTS"
BUG = "FAULTS_BUG"
OF_A_SERVICE = "PROSAASIL_SERVICE"
"""demo.service.MARK: commands that are run beside the service have no such name, and pass every point."""
MOST_PASSES = 3

Function = Callable[..., Any]
When = Callable[[Sequence[Any], Any], bool]


def _did_something(args: Sequence[Any], result: Any) -> bool:
    return bool(result)


def _always(args: Sequence[Any], result: Any) -> bool:
    return True


def _did(verb: str) -> When:
    """A move by this verb, which changed rows; its transaction is still open."""
    return lambda args, result: args[1] == verb and bool(result)


@dataclass(frozen=True)
class Point:
    """In `module`, the function or method `name`: `before` its body or after it, if `when` says so of args and result.

    `roles`: in the processes of which groups; the supervisor's is "".
    """

    module: str
    name: str
    roles: tuple[str, ...] = ("cluster",)
    before: bool = False
    when: When = _did_something


_LEASES, _PART = "recordings.leases", "recordings.part"

POINTS: dict[str, Point] = {
    "queueing": Point("recordings.lifecycle", "RecordingQuerySet._queue_clicked", ("web",)),
    "ringing": Point("recordings.bell", "ring", ("web",), when=_always),
    "taken": Point("recordings.broker", "WakingBroker.dequeue"),
    "claimed": Point(_LEASES, "LeaseQuerySet.start"),
    "born": Point(_PART, "_create"),
    "first_bytes": Point(_PART, "Part.write", when=lambda args, _: args[0].size == len(args[1])),
    "announcing": Point("recordings.announcement", "announce"),
    "mid_body": Point(_PART, "Part.write", when=lambda args, _: args[0].size > len(args[1])),
    "beat": Point(_LEASES, "LeaseQuerySet.beat"),
    "received": Point("recordings.download.attempt", "_verified", before=True, when=_always),
    "renamed": Point(_PART, "Part.commit"),
    "finishing": Point(_LEASES, "LeaseQuerySet.move", when=_did("finish")),
    "committed": Point(_LEASES, "LeaseQuerySet.finish"),
    "acknowledging": Point("recordings.broker", "WakingBroker.acknowledge", before=True, when=_always),
    "failing": Point(_LEASES, "LeaseQuerySet.move", when=_did("fail")),
    "retrying": Point(_LEASES, "LeaseQuerySet.move", when=_did("retry_due")),
    "sweeping": Point(_LEASES, "LeaseQuerySet.move", ("", "cluster", "web"), when=_did("release")),
    "giving_back": Point(_LEASES, "LeaseQuerySet.move", when=_did("give_back")),
    "given_back": Point(_LEASES, "LeaseQuerySet.give_back"),
}
"""In the order of a recording's life."""


SHORTENED: dict[str, dict[str, object]] = {
    "prosaasil.supervisor.group": {"HEALTHY": 0.0},  # each start waits 0.5 s, as after a group that was well
    "recordings.leases": {"BEAT_EVERY": 3.0},
    "recordings.download.worker": {"LINGER": 2.0},  # a task of the queue ends, and is acknowledged, sooner
}
"""By module. With the product's own pauses (0.5 to 8 s, 7.5 s, 10 s) a thousand kills take hours, and prove no more."""


def arm(folder: Path, name: str, passes: int = 1) -> None:
    """Have whoever passes this point for the `passes`th time die. Up to MOST_PASSES."""
    (folder / f"{name}.died").unlink(missing_ok=True)
    for ticket in range(passes, 0, -1):
        (folder / f"{name}.{ticket}").touch()


def disarm(folder: Path, name: str) -> None:
    """Nobody dies there any more."""
    for ticket in range(1, MOST_PASSES + 1):
        (folder / f"{name}.{ticket}").unlink(missing_ok=True)


def disarm_all(folder: Path) -> None:
    """None of them does."""
    for name in POINTS:
        disarm(folder, name)


def died_at(folder: Path, name: str) -> int | None:
    """The process that died there since it was armed; None if nobody did."""
    try:
        return int((folder / f"{name}.died").read_text())
    except (FileNotFoundError, ValueError):
        return None


# --- in the processes of the service


def plant() -> None:
    """Have every named function wrapped, and a planted bug put in, when its module is imported."""
    if FOLDER in os.environ and OF_A_SERVICE in os.environ:
        sys.meta_path.insert(0, _Planter())


class _Planter(MetaPathFinder):
    """Finds the modules that have points, and hands them out with those in."""

    _modules = frozenset(point.module for point in POINTS.values()) | SHORTENED.keys()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """As any finder, for these modules only."""
        if fullname not in self._modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Planting(spec.loader)
        return spec


class _Planting(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As it would be."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As it would be; then its functions are wrapped."""
        self._loader.exec_module(module)
        vars(module).update(SHORTENED.get(module.__name__, {}))
        for name, point in POINTS.items():
            if point.module == module.__name__:
                _replace(module, point.name, functools.partial(_dying, name, point))
        for where, name, make in BUGS.get(os.environ.get(BUG, ""), ()):
            if where == module.__name__:
                _replace(module, name, make)


def _replace(module: ModuleType, name: str, make: Callable[[Function], Function]) -> None:
    *outer, last = name.split(".")
    owner: Any = functools.reduce(getattr, outer, module)
    setattr(owner, last, make(getattr(owner, last)))


def _dying(name: str, point: Point, function: Function) -> Function:
    @functools.wraps(function)
    def passing(*args: Any, **options: Any) -> Any:
        if point.before and point.when(args, None):
            _pass(name, point)
        result = function(*args, **options)
        if not point.before and point.when(args, result):
            _pass(name, point)
        return result

    return passing


def _pass(name: str, point: Point) -> None:
    if os.environ.get("PROSAASIL_ROLE", "") not in point.roles:
        return
    folder = os.environ[FOLDER]
    for ticket in range(MOST_PASSES, 0, -1):
        try:
            os.unlink(f"{folder}/{name}.{ticket}")
        except FileNotFoundError:
            continue
        if ticket == 1:
            with open(f"{folder}/{name}.died", "w") as note:
                note.write(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return


def _unfenced_finish(move: Function) -> Function:
    """Commits whatever is downloading, whoever holds it now."""

    def unfenced(self: Any, verb: str, to: Any, guard: Any = None, **columns: Any) -> Any:
        return move(self, verb, to, None if verb == "finish" else guard, **columns)

    return unfenced


def _believed_beat(beat: Function) -> Function:
    """Every lease still holds, it says: else the worker whose finish is unfenced may stop before it gets there."""

    def believed(self: Any, held: Sequence[Any]) -> Any:
        beat(self, held)
        return set(held)

    return believed


BUGS: dict[str, Sequence[tuple[str, str, Callable[[Function], Function]]]] = {
    "unfenced_finish": [
        (_LEASES, "LeaseQuerySet.move", _unfenced_finish),
        (_LEASES, "LeaseQuerySet.beat", _believed_beat),
    ],
}
"""Planted on purpose, by FAULTS_BUG: the harness must go red with each."""
