"""What a trial has to tell, as rows of a table."""

from collections.abc import Iterable, Iterator, Sequence

from faults.kinds import KINDS
from faults.trial import Trial


def figures(trial: Trial) -> Iterator[tuple[str, str]]:
    """(what, how much) in the order of docs/proof.md. Times are in seconds."""
    tally, heard = trial.tally, trial.load.heard
    kinds = [*KINDS, *sorted(tally.kills.keys() - set(KINDS))]
    yield "kill -9", f"{sum(tally.kills.values())} ({_each((kind, tally.kills[kind]) for kind in kinds)})"
    yield "kill -9 at named points", f"{sum(tally.points.values())} ({_each(tally.points.items())})"
    yield "workers stopped and continued", f"{tally.stops}, {tally.taken_over} recordings taken over meanwhile"
    yield "holders of the queue's lock killed", f"{len(tally.holders)}, work went on after {_spread(tally.holders)}"
    yield "SIGTERM under load", f"{len(tally.terms)}, gone after {_spread(tally.terms)}, {tally.given_back} given back"
    yield "stood again after", _spread(tally.stood_again)
    outcomes = trial.service.sql("SELECT outcome, COUNT(*) FROM recordings_attempt GROUP BY outcome ORDER BY outcome")
    yield "attempts", _each(outcomes)
    ready = trial.service.sql("SELECT COUNT(*) FROM call_log WHERE recording_download_status = 'ready'")[0][0]
    yield "recordings asked for, ready", f"{len(trial.load.asked)}, {ready}"
    yield "transitions witnessed", str(len(trial.witness.moves()))
    yield "plays to the end, broken off", f"{heard.whole}, {heard.cut}"
    yield "bytes compared", f"{heard.bytes:,}"
    yield "answers", _each(sorted(trial.load.answers.items()))
    yield "longest that a row stood still", f"{trial.watch.longest:.1f}"
    yield "time taken", _each((name, f"{seconds} s") for name, seconds in tally.seconds.items())


def _each(pairs: Iterable[tuple[object, ...]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in pairs) or "none"


def _spread(seconds: Sequence[float]) -> str:
    """Median and most."""
    if not seconds:
        return "–"
    ordered = sorted(seconds)
    return f"{ordered[len(ordered) // 2]:.1f} (median), {ordered[-1]:.1f} (most)"
