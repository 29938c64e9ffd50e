"""The last day in steps of ten minutes: where the recordings stood, and how many downloads ended, how."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from django.db.models import Count, Value
from django.utils import timezone

from calls.models import RecordingStatus
from recordings.attempts import Attempt, Outcome
from recordings.samples import MINUTE, StatusSample

STEP = 10 * MINUTE
STEPS = 24 * 3600 // STEP
AN_HOUR = 3600 // STEP
COUNTS = [status.value for status in RecordingStatus]


@dataclass(frozen=True)
class Hour:
    """One line of the table that says what the plots show: the last counts of the hour, and what ended in it."""

    at: datetime
    counts: dict[str, int] | None
    downloaded: int
    failed: int


@dataclass(frozen=True)
class Day:
    """Values of STEPS steps, the oldest first; the last one is not over yet."""

    first: int
    """The number of the first step since 1970."""
    states: dict[str, list[int | None]]
    """By status, what the last sample of each step counted; None without a sample."""
    downloaded: list[int]
    failed: list[int]
    """Attempts that failed or crashed."""
    elapsed: float
    """Minutes of the last step that have passed."""

    def a_minute(self, counts: list[int]) -> list[float]:
        """How many a minute that was in each step."""
        whole = STEP / MINUTE
        return [*(count / whole for count in counts[:-1]), counts[-1] / max(1.0, self.elapsed)]

    def ticks(self) -> list[tuple[int, str]]:
        """Every sixth hour of the clock, as its step and what it is called; UTC."""
        every = 6 * AN_HOUR
        steps = [step for step in range(STEPS) if (self.first + step) % every == 0]
        return [(step, f"{self.moment(step):%H:%M}") for step in steps]

    def moment(self, step: int) -> datetime:
        """When a step began."""
        return datetime.fromtimestamp((self.first + step) * STEP, UTC)

    def hours(self) -> Iterator[Hour]:
        """The day hour by hour, the latest first; the first and the last hour may be parts."""
        starts = [step for step in range(STEPS) if step == 0 or (self.first + step) % AN_HOUR == 0]
        for start, end in reversed(list(zip(starts, [*starts[1:], STEPS], strict=True))):
            known = [step for step in range(start, end) if self.states["ready"][step] is not None]
            counts = {name: self.states[name][known[-1]] or 0 for name in COUNTS} if known else None
            ended = (sum(self.downloaded[start:end]), sum(self.failed[start:end]))
            yield Hour(self.moment(start), counts, *ended)


def last_day() -> Day:
    """The last day, in two queries: 1,440 samples at most, and counts from one index of the attempts."""
    moment = timezone.now().timestamp()
    first = int(moment // STEP) - STEPS + 1
    downloaded, failed = [0] * STEPS, [0] * STEPS
    for step, outcome, count in _ended(first):
        (downloaded if outcome == Outcome.READY else failed)[step] += count
    return Day(first, _states(first), downloaded, failed, moment % STEP / MINUTE)


def _ended(first: int) -> Iterable[tuple[int, str, int]]:
    """By step and outcome, how many attempts ended. Step by step, in the index: sorting a million takes 2 s."""
    told = Attempt.objects.filter(outcome__in=[Outcome.READY, Outcome.FAILED, Outcome.CRASHED]).order_by()
    starts = [datetime.fromtimestamp((first + step) * STEP, UTC) for step in range(STEPS + 1)]
    steps = [
        told.filter(ended_at__gte=start, ended_at__lt=end).annotate(step=Value(step)).values_list("step", "outcome")
        for step, (start, end) in enumerate(pairwise(starts))
    ]
    counted = [step.annotate(count=Count("*")) for step in steps]
    return counted[0].union(*counted[1:], all=True)


def _states(first: int) -> dict[str, list[int | None]]:
    states: dict[str, list[int | None]] = {name: [None] * STEPS for name in COUNTS}
    minutes = STEP // MINUTE
    samples: Iterable[StatusSample] = StatusSample.objects.filter(minute__gte=first * minutes).order_by("minute")
    for sample in samples:
        step = sample.minute // minutes - first
        if step < STEPS:
            for name in COUNTS:
                states[name][step] = getattr(sample, name)
    return states
