"""recordings/counting.py: every answer, move and end has its place, and is counted where it happens, once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from calls.clock import now
from recordings import counting, graph
from recordings.attempts import Outcome
from recordings.download import sweeping
from recordings.lifecycle import Answer, Ask
from recordings.models import Recording
from recordings.reasons import Reason
from recordings.results import Failed
from recordings.tests.api import storage  # noqa: F401  (a fixture)
from recordings.tests.rows import DOWNLOADING, FAILED, MISSING, QUEUED, READY, finished, held, recording

Counted = Callable[..., float]


@pytest.fixture
def counted(settings: Settings, tmp_path: Path) -> Iterator[Counted]:
    """How much a counter says, by its labels, since the test began."""
    counting._tally.after_fork()
    settings.RUN_DIR = tmp_path / "run"
    counting.begin()
    yield lambda counter, *labels: counting.total()[counter.cells[labels]]
    counting._tally.close()


def test_there_is_a_place_for_all_that_can_happen() -> None:
    assert set(counting.ANSWERS.cells) == {(each.value,) for each in Answer if each is not Answer.NOT_STARTED}
    assert set(counting.TRANSITIONS.cells) == {
        (verb, to.value) for verb, moves in graph.MOVES.items() for targets in moves.values() for to in targets
    }
    ends = {(each.value, "") for each in Outcome if each not in {Outcome.RUNNING, Outcome.FAILED}}
    assert set(counting.ATTEMPTS.cells) == ends | {("failed", each.value) for each in Reason}
    assert set(counting.SWEPT.cells) == {(action,) for action in sweeping.Swept._fields}


def test_a_restart_of_an_unknown_group_for_an_unknown_cause_is_counted_too(counted: Counted) -> None:
    counting.restarted("web", "died")
    counting.restarted("kitchen", "caught fire")
    assert counted(counting.RESTARTS, "web", "died") == 1
    assert counted(counting.RESTARTS, "other", "other") == 1


def test_labels_that_were_not_foreseen_cost_nobody_anything(counted: Counted) -> None:
    counting.ANSWERS.add("perhaps")
    counting.ANSWERS.add("ready", "indeed")
    assert sum(counted(counting.ANSWERS, *labels) for labels in counting.ANSWERS.cells) == 0


def test_seconds_fall_into_the_first_bound_that_holds_them(counted: Counted) -> None:
    counting.SECONDS.add(0.05, 0.1, 0.3)
    counting.SECONDS.add(4000)
    totals = counting.total()
    filled = {place: totals[cell] for place, cell in enumerate(counting.SECONDS.cells) if totals[cell]}
    assert filled == {0: 2, 2: 1, 12: 1}
    assert totals[counting.SECONDS.sum] == pytest.approx(4000.45)


@pytest.mark.django_db
def test_each_click_is_counted_by_its_answer(
    counted: Counted, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    row = recording(MISSING)
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            Recording.objects.ask(row, Ask.PERSON)
        Recording.objects.ask(recording(READY), Ask.PLAY)
    assert counted(counting.ANSWERS, "enqueued") == 1
    assert counted(counting.ANSWERS, "under_way") == 2
    assert counted(counting.ANSWERS, "ready") == 1
    assert counted(counting.TRANSITIONS, "queue", "queued") == 1


@pytest.mark.django_db
def test_each_end_of_an_attempt_is_counted_once_with_its_bytes_and_seconds(
    counted: Counted, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    ready, failed, back = recording(DOWNLOADING), recording(DOWNLOADING), recording(DOWNLOADING)
    done = replace(finished(held(ready)), seconds=1.5)
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(2):  # the second time as after a COMMIT whose answer got lost
            Recording.objects.finish([done])
            Recording.objects.fail([Failed(held(failed), Reason.CUT_SHORT, permanent=False, bytes_done=70)])
            Recording.objects.give_back([held(back)])
    assert counted(counting.ATTEMPTS, "ready", "") == 1
    assert counted(counting.ATTEMPTS, "failed", "cut_short") == 1
    assert counted(counting.ATTEMPTS, "given_back", "") == 1
    seconds = counting.total()[counting.SECONDS.sum]
    assert seconds == 1.5
    assert counted(counting.BYTES, "ready") == done.whole.bytes
    assert counted(counting.BYTES, "failed") == 70
    moved = {labels: counted(counting.TRANSITIONS, *labels) for labels in counting.TRANSITIONS.cells}
    assert {labels: count for labels, count in moved.items() if count} == {
        ("finish", "ready"): 1,
        ("fail", "failed"): 1,
        ("give_back", "queued"): 1,
    }


@pytest.mark.django_db
def test_what_is_rolled_back_is_not_counted(
    counted: Counted, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    row = recording(MISSING)
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        assert Recording.objects.filter(pk=row.pk).queue(Ask.PERSON) == 1
        transaction.set_rollback(True)
    assert counted(counting.TRANSITIONS, "queue", "queued") == 0


@pytest.mark.django_db
def test_the_sweep_counts_what_it_put_right(
    counted: Counted,
    storage: Path,  # noqa: F811
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    recording(DOWNLOADING, lease_until=now(-1))
    for _ in range(2):
        recording(FAILED, next_retry_at=now(-1))
    recording(QUEUED, last_enqueue_at=now(-100))
    with django_capture_on_commit_callbacks(execute=True):
        sweeping.sweep()
    assert counted(counting.SWEPT, "released") == 1
    assert counted(counting.SWEPT, "retried") == 2
    assert counted(counting.ATTEMPTS, "crashed", "") == 1
    assert counted(counting.TRANSITIONS, "release", "queued") == 1
