"""Counting what happens, right across all processes of one machine: names and labels as data, and a place for each.

A leaf. Whoever counts calls `add` of a counter, where the thing happens; metrics.py shows the sums.
"""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from recordings.reasons import Reason
from recordings.tally import Tally

Labels = tuple[str, ...]

_tally = Tally()
os.register_at_fork(after_in_child=_tally.after_fork)


class Counter:
    """A count that only grows. Each value of its labels has its place from the start, so that it is shown as 0."""

    kind = "counter"

    def __init__(self, name: str, words: str, labels: Labels = (), values: Iterable[Labels] = ((),)) -> None:
        self.name, self.words, self.labels = name, words, labels
        self.cells = {each: _tally.place(name, each) for each in values}

    def add(self, *labels: str, amount: float = 1) -> None:
        """Count so many more. Takes microseconds, never raises; labels that were not foreseen are not counted."""
        cell = self.cells.get(labels)
        if cell is not None:
            _tally.add({cell: amount})


class Histogram:
    """How many took how long: up to each of `bounds`, in seconds, and longer."""

    kind = "histogram"
    labels: Labels = ()

    def __init__(self, name: str, words: str, bounds: tuple[float, ...]) -> None:
        self.name, self.words, self.bounds = name, words, bounds
        self.cells = [_tally.place(name, (f"{bound:g}",)) for bound in (*bounds, float("inf"))]
        self.sum = _tally.place(name, ("sum",))

    def add(self, *seconds: float) -> None:
        """Count these. Never raises."""
        amounts = {self.sum: sum(seconds)}
        for each in seconds:
            cell = self.cells[sum(each > bound for bound in self.bounds)]
            amounts[cell] = amounts.get(cell, 0) + 1
        _tally.add(amounts)


ANSWERS = Counter(
    "prosaasil_queue_answers_total",
    "What those who asked for a recording were told; all but enqueued are duplicates and refusals that cost no job.",
    ("answer",),
    [(each,) for each in ("enqueued", "under_way", "ready", "cooling_down", "backing_off", "failed")],
)
TRANSITIONS = Counter(
    "prosaasil_transitions_total",
    "Recordings that a verb moved to a status.",
    ("verb", "to"),
    [
        ("queue", "queued"), ("retry_due", "queued"), ("start", "downloading"), ("finish", "ready"), ("fail", "failed"),
        ("give_back", "queued"), ("release", "queued"), ("release", "failed"), ("adopt", "ready"), ("lose", "missing"),
        ("readdress", "missing"), ("delete", "failed"),
    ],
)  # fmt: skip
ATTEMPTS = Counter(
    "prosaasil_attempts_total",
    "Attempts that ended, by how, and the failed ones by reason.",
    ("outcome", "reason"),
    [
        *((each, "") for each in ("ready", "adopted", "given_back", "crashed")),
        *(("failed", each) for each in Reason.values),
    ],
)
BYTES = Counter(
    "prosaasil_download_bytes_total",
    "Bytes of the attempts that ended ready or failed.",
    ("outcome",),
    [("ready",), ("failed",)],
)
SECONDS = Histogram(
    "prosaasil_download_seconds",
    "How long an attempt took from its start to the whole file.",
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
SWEPT = Counter(
    "prosaasil_sweep_actions_total",
    "What the sweep put right: released from dead workers, retried because due, rung again for a silent queue.",
    ("action",),
    [("released",), ("retried",), ("rung",)],
)
_GROUPS, _WHYS = ("web", "cluster", "demo", "other"), ("died", "stopped", "silent", "still", "other")
RESTARTS = Counter(
    "prosaasil_supervisor_restarts_total",
    "Groups of processes that `serve` started again, and why.",
    ("group", "why"),
    itertools.product(_GROUPS, _WHYS),
)
ALL: tuple[Counter | Histogram, ...] = (ANSWERS, TRANSITIONS, ATTEMPTS, BYTES, SECONDS, SWEPT, RESTARTS)


def restarted(group: str, why: str) -> None:
    """`serve` has started this group of processes again, because one `died` or it was `silent`. Never raises."""
    RESTARTS.add(group if group in _GROUPS else "other", why if why in _WHYS else "other")


def folder() -> Path:
    """Where the processes of this machine keep what they count."""
    return Path(settings.RUN_DIR) / "metrics"


def begin(*, anew: bool = False) -> None:
    """Keep what this process and its forks count; `anew` forgets what was counted before. Never raises.

    Without it, as in commands, counts are kept in memory and nobody sees them.
    """
    _tally.begin(folder(), anew=anew)


def total() -> list[float]:
    """What all processes together have counted, by place. A folder that can't be read counts as empty."""
    return _tally.total(folder())
