"""Three bugs, planted on purpose. The suite's own checks must go red with each; kept so that the checks stay sharp.

They are the ones that slipped through tests which look only at rows and files.
"""

import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db.models import Q

from calls.clock import now
from calls.models import CallLog, RecordingStatus
from recordings import bell
from recordings.claims import LEASE
from recordings.lifecycle import Ask, RecordingQuerySet
from recordings.models import Attempt, Recording
from recordings.results import Finished, Held
from recordings.tests import rows
from recordings.tests.races import each_row_is_claimed_once, one_racer_queues_one_row, race
from recordings.tests.rows import DOWNLOADING, QUEUED, held, recording
from recordings.tests.transitions import Witness


def together(count: int) -> Callable[[], None]:
    """A gap that `count` threads reach before any goes on: the moment in which such a bug bites."""
    barrier = threading.Barrier(count)

    def gap() -> None:
        try:
            barrier.wait(5)
        except threading.BrokenBarrierError:
            return

    return gap


class NaiveQueue(RecordingQuerySet):
    """Check, then write."""

    gap = staticmethod(lambda: None)

    def _queue(self, ask: Ask, priority: int, *, ring: bool = True) -> int:
        chosen = list(self.values_list("pk", flat=True))
        self.gap()
        for pk in chosen:
            CallLog.objects.filter(pk=pk).update(
                recording_download_status=QUEUED, recording_last_enqueue_at=now(), recording_priority=priority
            )
            bell.ring()
        return len(chosen)


class UnfencedFinish(RecordingQuerySet):
    """Commits whatever is downloading, whoever holds it now."""

    def move(self, verb: str, to: RecordingStatus, guard: Q | None = None, **columns: Any) -> int:
        return super().move(verb, to, None if verb == "finish" else guard, **columns)


class UnguardedClaim(RecordingQuerySet):
    """Chooses what is queued, and then takes what it chose."""

    gap = staticmethod(lambda: None)

    def start(self, limit: int, *, worker: str, clicks_only: bool = False, more: bool = False) -> list[CallLog]:
        chosen = list(self.waiting().order_by("pk").values_list("pk", flat=True)[:limit])
        self.gap()
        token = uuid.uuid4().hex
        CallLog.objects.filter(pk__in=chosen).update(
            recording_download_status=DOWNLOADING, recording_token=token, recording_lease_until=now(LEASE)
        )
        Attempt.objects.bulk_create(Attempt(recording_id=pk, token=token, worker=worker) for pk in chosen)
        return list(self.filter(pk__in=chosen))


# --- the naive queue ------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_race_for_one_row_catches_a_naive_queue(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NaiveQueue, "gap", staticmethod(together(2)))
    with pytest.raises(AssertionError):
        one_racer_queues_one_row(NaiveQueue(Recording), racers=8)
    witness.forget()


@pytest.mark.django_db(transaction=True)
def test_the_witness_catches_a_naive_queue(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    row = recording()
    monkeypatch.setattr(NaiveQueue, "gap", staticmethod(together(2)))
    race(*[lambda: NaiveQueue(Recording).filter(pk=row.pk).queue(Ask.PLAY)] * 2)
    assert witness.offences() == [f"recording {row.pk}: queued → queued is no move of the graph"]
    witness.forget()


# --- the unfenced finish --------------------------------------------------------------------------------------------


def a_stale_worker_finishes(recordings: RecordingQuerySet) -> tuple[CallLog, Held, set[Held]]:
    """A paused worker comes back when another has its recording; what its finish says it committed."""
    recording(QUEUED)
    (stale,) = Recording.objects.start(1, worker="paused")
    Recording.objects.release(dead=[held(stale)])
    (mine,) = Recording.objects.start(1, worker="next")
    results: Sequence[Finished] = [rows.finished(held(stale))]
    return mine, held(stale), recordings.finish(results)


def test_a_stale_worker_commits_nothing(witness: Witness) -> None:
    mine, _, won = a_stale_worker_finishes(Recording.objects.all())
    assert won == set()
    assert rows.read(mine).recording_token == mine.recording_token


def test_the_stale_token_catches_an_unfenced_finish(witness: Witness) -> None:
    mine, stale, won = a_stale_worker_finishes(UnfencedFinish(Recording))
    assert won == {stale}, "the bug is planted"
    assert rows.read(mine).recording_token != mine.recording_token
    witness.forget()


def test_the_witness_catches_an_unfenced_finish(witness: Witness) -> None:
    mine, stale, _ = a_stale_worker_finishes(UnfencedFinish(Recording))
    assert witness.offences() == [
        f"recording {mine.pk}: {mine.pk}/{stale[1]} was committed under the lease of {mine.recording_token}"
    ]
    witness.forget()


# --- the unguarded claim --------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_race_of_the_workers_catches_an_unguarded_claim(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UnguardedClaim, "gap", staticmethod(together(2)))
    with pytest.raises(AssertionError):
        each_row_is_claimed_once(UnguardedClaim(Recording), claimers=2, count=20)
    witness.forget()


@pytest.mark.django_db(transaction=True)
def test_the_witness_catches_an_unguarded_claim(witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    row = recording(QUEUED)
    monkeypatch.setattr(UnguardedClaim, "gap", staticmethod(together(2)))
    race(*[lambda: UnguardedClaim(Recording).start(1, worker="w")] * 2)
    assert witness.offences() == [f"recording {row.pk}: downloading → downloading is no move of the graph"]
    witness.forget()
