"""The life of three recordings under everything that can happen to them, in any order, found by hypothesis.

Workers keep every token they ever had and go on using the stale ones; readings of rows go stale too; bells get lost;
time passes. LIVES_TO_TRY=5000 makes the hunt longer than the suite's.
"""

import copy
import os
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from django_q.models import OrmQ
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from calls.clock import now
from calls.models import PRIORITY_CLICK, CallLog, RecordingStatus
from recordings import bell
from recordings.announcement import announce
from recordings.graph import MOVES
from recordings.lifecycle import COOLDOWN, Answer, Ask
from recordings.models import Attempt, Outcome, ProviderAccount, Recording
from recordings.reasons import PERMANENT, Reason
from recordings.results import Begun, Failed, Held
from recordings.tests import rows
from recordings.tests.rows import DOWNLOADING, FAILED, MISSING, QUEUED, READY, World, world
from recordings.tests.transitions import Witness

HUNTING = "LIVES_TO_TRY" in os.environ
LIVES = int(os.environ.get("LIVES_TO_TRY", "45"))
STEPS = 30

which = st.integers(0, 2)
lease = st.integers(0, 99)
T = TypeVar("T")


class Lives(RuleBasedStateMachine):
    """What happens is a rule; what must hold then is asserted in the rule, in `change`, or at the end."""

    def __init__(self) -> None:
        super().__init__()
        for model in (Attempt, CallLog, OrmQ):
            model._base_manager.all().delete()
        self.witness = Witness()
        self.witness.forget()
        rows.business()
        ProviderAccount.objects.update(paused_until=None)
        self.pks = [rows.recording(QUEUED).pk for _ in range(3)]
        self.leases: list[Held] = []
        self.readings: list[Recording] = [self.row(pk) for pk in self.pks]
        self.commits: Counter[int] = Counter()
        self.seen: World | None = None

    def look(self) -> World:
        """Everything as it is; read anew only after something was done."""
        self.seen = self.seen or world()
        return self.seen

    def row(self, pk: int) -> Recording:
        found: Recording = Recording.objects.get(pk=pk)
        return found

    def reading(self, number: int, old: bool) -> Recording:
        """A row as it is, or as it was read at some time before."""
        if old:
            return copy.copy(self.readings[number % len(self.readings)])
        self.readings.append(self.row(self.pks[number % 3]))
        return copy.copy(self.readings[-1])

    def held(self, number: int) -> Held:
        return self.leases[-1 - number % min(6, len(self.leases))]

    def change(self, act: Callable[[], T], *verbs: str) -> tuple[T, World, World]:
        """Do it; only these verbs' moves may come of it, and one bell if anything was queued, else none."""
        before, self.seen = self.look(), None
        result = act()
        after = self.look()
        queued = False
        for pk in self.pks:
            was, is_now = before.status(pk), after.status(pk)
            if was != is_now:
                assert any(is_now in MOVES[verb].get(was, ()) for verb in verbs), f"{verbs} moved {was} → {is_now}"
                queued |= is_now == QUEUED
        assert after.bells - before.bells == int(queued)
        return result, before, after

    def under_lease(self, held: Held, act: Callable[[], T], *verbs: str) -> T:
        """As `change`; and a stale lease changes nothing at all."""
        stale = not self.holds(held)
        result, before, after = self.change(act, *verbs)
        if stale:
            assert after == before
            # Told again what it did, as after a COMMIT whose answer was lost; anything else was not done.
            assert not result or after.rows[held[0]]["recording_file"] == f"{held[0]}/{held[1]}"
        else:
            assert result
        return result

    def holds(self, held: Held) -> bool:
        """Whether this lease is the row's."""
        row = self.look().rows[held[0]]
        return (row["recording_download_status"], row["recording_token"]) == (DOWNLOADING, held[1])

    # --- people

    @rule(number=which, ask=st.sampled_from(Ask), old=st.booleans())
    def click(self, number: int, ask: Ask, old: bool) -> None:
        reading = self.reading(number, old)
        row = self.row(reading.pk)
        may = self.may_be_queued(row, ask)
        seen = RecordingStatus(reading.recording_download_status)
        answer, _, after = self.change(lambda: Recording.objects.ask(reading, ask), "queue")
        if seen in {MISSING, FAILED}:
            assert (answer == Answer.ENQUEUED) is may
        if answer == Answer.ENQUEUED:
            assert after.rows[row.pk]["recording_priority"] == PRIORITY_CLICK
        if answer == Answer.UNDER_WAY and seen not in {DOWNLOADING}:
            assert after.status(row.pk) != QUEUED or after.rows[row.pk]["recording_priority"] == PRIORITY_CLICK

    def may_be_queued(self, row: Recording, ask: Ask) -> bool:
        """The rules of `queue` once more, in Python."""
        moment = rows.clock()
        last, retry = row.recording_last_enqueue_at, row.recording_next_retry_at
        if row.recording_download_status == MISSING:
            return last is None or last > moment or (moment - last).total_seconds() >= COOLDOWN
        if row.recording_download_status != FAILED or row.recording_reason == Reason.DELETED:
            return False
        if ask is Ask.PLAY:
            return retry is not None and retry <= moment
        return ask is Ask.FORCE or not row.recording_permanent

    @rule()
    def backfill(self) -> None:
        self.change(lambda: Recording.objects.queue(Ask.PERSON), "queue")

    @rule(number=st.just(2))  # one recording is enough: nothing happens to it any more
    def delete(self, number: int) -> None:
        before = self.look().status(self.pks[number])
        count, _, after = self.change(lambda: Recording.objects.filter(pk=self.pks[number]).delete_audio(), "delete")
        assert count == int(before in {MISSING, FAILED, READY})
        assert not count or after.rows[self.pks[number]]["recording_reason"] == Reason.DELETED

    @rule(number=which)
    def readdress(self, number: int) -> None:
        pk = self.pks[number]
        self.seen = None
        CallLog.objects.filter(pk=pk).update(recording_url=f"https://voice.example.com/{pk}-{len(self.readings)}.wav")
        self.change(lambda: Recording.objects.filter(pk=pk).readdress(), "readdress")

    # --- workers, with leases that hold and stale ones

    @rule(limit=st.integers(1, 3), clicks_only=st.booleans())
    def some_are_claimed(self, limit: int, clicks_only: bool) -> None:
        self.claim(limit, clicks_only=clicks_only)

    def claim(self, limit: int, *, clicks_only: bool) -> None:
        claimed, before, _ = self.change(
            lambda: Recording.objects.start(limit, worker="w", clicks_only=clicks_only), "start"
        )
        for row in claimed:
            assert before.status(row.pk) == QUEUED
            assert rows.held(row) not in self.leases
            self.leases.append(rows.held(row))

    @rule()
    def a_worker_hangs_and_others_take_over(self) -> None:
        """The quickest way to leases that overlap: what is queued is claimed, declared dead, and claimed again."""
        self.claim(3, clicks_only=False)
        for held in [held for held in self.leases[-3:] if self.holds(held)]:
            self.change(lambda held=held: Recording.objects.release(dead=[held]), "release")  # type: ignore[misc]
        self.claim(3, clicks_only=False)

    @precondition(lambda self: self.leases)
    @rule(number=lease, told=st.booleans())
    def beat_or_announce(self, number: int, told: bool) -> None:
        held = self.held(number)
        if told:
            self.under_lease(held, lambda: announce([Begun(held, 9, "audio/wav", 1)]))
        else:
            self.under_lease(held, lambda: Recording.objects.beat([held]))

    @precondition(lambda self: self.leases)
    @rule(number=lease, adopted=st.booleans())
    def finish(self, number: int, adopted: bool) -> None:
        held = self.held(number)
        self.commits[held[0]] += self.holds(held)
        result = rows.finished(held, adopted=adopted)
        self.under_lease(held, lambda: Recording.objects.finish([result]), "finish", "adopt")

    @precondition(lambda self: self.leases)
    @rule(
        number=lease,
        reason=st.sampled_from(sorted(set(Reason) - {Reason.DELETED})),
        wish=st.sampled_from([None, 60, 9999]),
    )
    def fail(self, number: int, reason: Reason, wish: float | None) -> None:
        held = self.held(number)
        failure = Failed(held, reason, permanent=reason in PERMANENT, retry_after=wish)
        self.under_lease(held, lambda: Recording.objects.fail([failure]), "fail")

    @precondition(lambda self: self.leases)
    @rule(number=lease)
    def give_back(self, number: int) -> None:
        held = self.held(number)
        self.under_lease(held, lambda: Recording.objects.give_back([held]), "give_back")

    @precondition(lambda self: self.leases)
    @rule(number=lease)
    def find_a_writer_dead(self, number: int) -> None:
        held = self.held(number)
        self.change(lambda: Recording.objects.release(dead=[held]), "release")
        assert not self.holds(held)

    # --- files

    @rule(number=lease, old=st.booleans())
    def adopt(self, number: int, old: bool) -> None:
        reading = self.reading(number, old)
        adopted, before, after = self.change(lambda: Recording.objects.adopt(reading, rows.whole(reading.pk)), "adopt")
        assert before.status(reading.pk) in {MISSING, FAILED} or not adopted
        assert after == before or adopted
        self.commits.update({reading.pk: adopted})

    @rule(number=lease, old=st.booleans())
    def lose(self, number: int, old: bool) -> None:
        reading = self.reading(number, old)
        row = self.look().rows[reading.pk]
        same = row["recording_download_status"] == READY and row["recording_file"] == reading.recording_file
        lost, _, _ = self.change(lambda: Recording.objects.lose(reading), "lose")
        assert bool(lost) is same

    # --- time, the sweep, and what goes wrong by itself

    @rule(seconds=st.sampled_from([5, 10, 30, 60, 100, 1000]))
    def time_passes(self, seconds: int) -> None:
        self.seen = None
        rows.pass_time(seconds)

    @rule()
    def sweep(self) -> None:
        moment = rows.clock()
        _, before, after = self.change(Recording.objects.release, "release")
        for pk in self.pks:
            until = before.rows[pk]["recording_lease_until"]
            if before.status(pk) == DOWNLOADING != after.status(pk):
                assert until <= rows.clock() or until > moment + timedelta(seconds=60)
        self.change(Recording.objects.retry_due, "retry_due")
        silent = Recording.objects.waiting().filter(recording_last_enqueue_at__lte=now(-15)).exists()
        before, self.seen = self.look(), None
        wanted = silent and not bell.is_rung()
        assert Recording.objects.ring_again() is wanted
        assert (self.look().rows, self.look().bells) == (before.rows, before.bells + int(wanted))

    @rule(what=st.sampled_from(["bells", "pause", "by hand"]), number=which)
    def something_goes_wrong(self, what: str, number: int) -> None:
        """Bells get lost; the provider asks us to slow down; an operator sets a row to missing with SQL."""
        self.seen = None
        if what == "bells":
            OrmQ.objects.all().delete()
        elif what == "pause":
            ProviderAccount.objects.update(paused_until=now(100))
        elif self.row(self.pks[number]).recording_reason != Reason.DELETED:
            by_hand = {"recording_download_status": MISSING, "recording_token": None, "recording_reason": ""}
            CallLog.objects.filter(pk=self.pks[number]).update(**by_hand)

    # --- what must always hold

    def check_invariants(self, *args: Any, **kwargs: Any) -> None:
        """Called by hypothesis after each step."""
        super().check_invariants(*args, **kwargs)
        running = Counter(
            (attempt["recording_id"], attempt["token"])
            for attempt in self.look().attempts.values()
            if attempt["outcome"] == Outcome.RUNNING
        )
        for pk, row in self.look().rows.items():
            downloading = row["recording_download_status"] == DOWNLOADING
            assert running[pk, row["recording_token"] or ""] == int(downloading)
            assert row["recording_crash_count"] < 5

    def teardown(self) -> None:
        """Nothing is stuck: whatever happened, time and the sweep bring each recording to its end."""
        self.settle(crash=True)
        for pk in self.pks:
            status = self.row(pk).recording_download_status
            assert status in {MISSING, READY, FAILED}
            if status != READY and self.row(pk).recording_reason != Reason.DELETED:
                assert Recording.objects.ask(self.row(pk), Ask.FORCE) == Answer.ENQUEUED
        self.settle(crash=False)
        assert not Attempt.objects.running().exists()
        for pk in self.pks:
            deleted = self.row(pk).recording_reason == Reason.DELETED
            assert self.row(pk).recording_download_status == (FAILED if deleted else READY)
        by_hand = {(QUEUED, MISSING), (DOWNLOADING, MISSING), (MISSING, MISSING)}
        moves = [move for move in self.witness.moves() if (move.before, move.after) not in by_hand]
        assert [move.offence() for move in moves if move.offence()] == []
        ready = Counter(move.recording_id for move in moves if move.after == READY)
        assert ready == +self.commits

    def settle(self, *, crash: bool) -> None:
        """Rounds of time, sweep and work; `crash`: in the first six, every worker dies with what it claimed."""
        for turn in range(9):
            rows.pass_time(1000)
            Recording.objects.release()
            Recording.objects.retry_due()
            Recording.objects.ring_again()
            if not Recording.objects.waiting().exists():
                break
            assert bell.is_rung(), "something waits and nobody is told"
            OrmQ.objects.all().delete()
            claimed = [rows.held(row) for row in Recording.objects.start(9, worker="w")]
            if not crash or turn >= 6:
                won = Recording.objects.finish([rows.finished(held) for held in claimed])
                self.commits.update(pk for pk, _ in won)
        assert not Recording.objects.filter(recording_download_status__in=[QUEUED, DOWNLOADING]).exists()


@pytest.mark.django_db(transaction=True)  # on PostgreSQL, one long transaction would keep every dead row
def test_nothing_is_lost_or_done_twice_whatever_happens_in_whatever_order(witness: Witness) -> None:
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=LIVES, stateful_step_count=STEPS, deadline=None, database=None, print_blob=True,
            suppress_health_check=list(HealthCheck),
            # Making a failing life shorter takes minutes: only when one hunts.
            phases=list(Phase) if HUNTING else [Phase.generate],
        ),
    )  # fmt: skip
    witness.forget()
