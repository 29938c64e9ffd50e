"""What the cold benchmarks found, as Markdown: lines of the table, and the demands that were met or not."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import cold_live
from benchmarks.cold_live import Joining, Rush, Statuses

SCENES = {"50 × 1": (50, 1), "200 × 1": (200, 1), "50 over 20": (50, 20)}
"""Listeners and recordings."""

COLUMNS = (
    "server", "listeners × recordings", "fetches", "wrong or cut", "first byte p50, ms", "p99", "all bytes p99",
    "first byte p99 ÷ direct", "all bytes p99 ÷ direct",
)  # fmt: skip
WHOLE_BAR, FIRST_BAR, JOIN_BAR, STATUS_BAR, WAIT_BAR = 1.10, 1.5, 0.020, 3.0, 1.0


@dataclass(frozen=True)
class Heard:
    """One crowd at one server: fetches of the origin, listeners with all the right bytes, and seconds."""

    fetches: int
    right: int
    listeners: int
    first_p50: float
    first_p99: float
    whole_p99: float


@dataclass(frozen=True)
class Row:
    """A line of the table: `runs` are the rounds, `direct` their direct clients."""

    server: str
    scene: str
    runs: list[Heard]
    direct: list[Heard]

    def of(self, pick: Callable[[Heard], float]) -> float:
        """The median of a figure."""
        return statistics.median(pick(run) for run in self.runs)

    def ratio(self, pick: Callable[[Heard], float]) -> float:
        """The median of a figure in direct clients."""
        return statistics.median(pick(run) / pick(one) for run, one in zip(self.runs, self.direct, strict=True))

    def print(self) -> None:
        """As Markdown."""
        fetches = sorted({run.fetches for run in self.runs})
        wrong = sum(run.listeners - run.right for run in self.runs)
        times = [
            self.of(lambda run: run.first_p50),
            self.of(lambda run: run.first_p99),
            self.of(lambda run: run.whole_p99),
        ]
        words = [self.server, self.scene, "–".join(map(str, fetches)), str(wrong) if wrong else "none"]
        ratios = [self.ratio(lambda run: run.first_p99), self.ratio(lambda run: run.whole_p99)]
        words += [f"{value * 1000:.0f}" for value in times] + [f"{value:.2f}" for value in ratios]
        print("| " + " | ".join(words) + " |", flush=True)


@dataclass(frozen=True)
class Bar:
    """A demand and what came of it."""

    demand: str
    found: str
    met: bool

    def print(self) -> None:
        """As Markdown."""
        print(f"| {self.demand} | {self.found} | {'met' if self.met else '**not met**'} |", flush=True)


def crowd_bars(rows: list[Row]) -> list[Bar]:
    """What is demanded of our service with crowds."""
    bars = []
    for row in rows:
        if row.server != "ours" or row.scene == "50 × 1":
            continue
        fetches, wanted = {run.fetches for run in row.runs}, SCENES[row.scene][1]
        right = all(run.right == run.listeners for run in row.runs)
        whole, first = row.ratio(lambda run: run.whole_p99), row.ratio(lambda run: run.first_p99)
        bars += [
            Bar(f"{row.scene}: fetches", ", ".join(map(str, sorted(fetches))), fetches == {wanted}),
            Bar(f"{row.scene}: all bytes right", "yes" if right else "no", right),
            Bar(f"{row.scene}: all bytes p99 ≤ {WHOLE_BAR:.2f} × direct", f"{whole:.2f}", whole <= WHOLE_BAR),
        ]
        if row.scene == "200 × 1":
            bars.append(Bar(f"{row.scene}: first byte p99 ≤ {FIRST_BAR} × direct", f"{first:.2f}", first <= FIRST_BAR))
    return bars


def join_bar(rounds: list[Joining]) -> Bar:
    """What is demanded for those who join in the middle."""
    live, ready = (statistics.median(times) for times in zip(*((one.live, one.ready) for one in rounds), strict=True))
    more = statistics.median(one.live - one.ready for one in rounds)
    found = f"{live * 1000:.1f} ms − {ready * 1000:.1f} ms"
    return Bar(f"joining: first byte p95 ≤ {JOIN_BAR * 1000:.0f} ms more than a ready one's", found, more <= JOIN_BAR)


def status_bar(rounds: list[Statuses]) -> Bar:
    """What is demanded of statuses."""
    alone, beside = (statistics.median(times) for times in zip(*((r.alone, r.beside) for r in rounds), strict=True))
    ratio = statistics.median(one.beside / one.alone for one in rounds)
    found = f"{beside * 1000:.1f} ms ÷ {alone * 1000:.1f} ms = {ratio:.1f}"
    return Bar(f"status p99 beside 200 listeners ≤ {STATUS_BAR:.0f} × alone", found, ratio <= STATUS_BAR)


def rush_bars(rush: Rush) -> list[Bar]:
    """What is demanded with more listeners than places."""
    counts = f"{rush.playing} play, {rush.told_to_wait} have 202, {rush.others} others; last 202 after"
    last = f"{counts} {rush.last_202 * 1000:.0f} ms"
    held = (
        ("threads", rush.before.threads, rush.during.threads, rush.after.threads),
        ("descriptors", rush.before.descriptors, rush.during.descriptors, rush.after.descriptors),
        ("connections", rush.before.connections, rush.during.connections, rush.after.connections),
    )
    words = "; ".join(f"{what} {before} → {during} → {after}" for what, before, during, after in held)
    told = rush.last_202 <= WAIT_BAR and rush.told_to_wait > 0 and not rush.others
    return [
        Bar(f"{cold_live.MANY} at once: each 202 within {WAIT_BAR:.0f} s", last, told),
        Bar("… and gone: nothing is kept", f"{words} ({rush.after_seconds:.0f} s)", rush.after.within(rush.before)),
    ]
