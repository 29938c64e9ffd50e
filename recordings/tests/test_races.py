"""Races on the real database, in threads and processes: one winner, and no "database is locked"."""

import itertools
import json
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connection

from calls.clock import now
from calls.models import CallLog
from recordings import bell
from recordings.lifecycle import Answer, Ask
from recordings.models import Attempt, Outcome, Recording
from recordings.reasons import Reason
from recordings.results import Failed
from recordings.tests import rows
from recordings.tests.races import each_row_is_claimed_once, in_processes, one_racer_queues_one_row, race
from recordings.tests.rows import DOWNLOADING, FAILED, MISSING, QUEUED, READY, bells, held, recording
from recordings.tests.transitions import Witness

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def watched(witness: Witness) -> None:
    """Every race is watched; SQLite must be a file here, or there is no race."""
    assert "memory" not in str(connection.settings_dict["NAME"])


def test_of_fifty_racers_one_queues_the_row_and_one_bell_rings(witness: Witness) -> None:
    one_racer_queues_one_row(Recording.objects.all())
    assert witness.pairs() == [(MISSING, QUEUED)]


def test_eight_workers_that_claim_together_claim_each_row_once(witness: Witness) -> None:
    each_row_is_claimed_once(Recording.objects.all())
    assert Counter(witness.pairs()) == {(QUEUED, DOWNLOADING): 200}


CLICKER = """
import json, sys
from django.db import connection
from recordings.lifecycle import Ask
from recordings.models import Recording
pks = json.loads(sys.argv[1])
connection.ensure_connection()
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([Recording.objects.ask(Recording.objects.get(pk=pk), Ask.PLAY) for pk in pks]))
"""


def test_processes_that_click_on_the_same_recordings_queue_each_once(witness: Witness) -> None:
    pks = [recording().pk for _ in range(40)]
    printed = in_processes(CLICKER, [[json.dumps(pks)]] * 4)
    answers = Counter(itertools.chain(*map(json.loads, printed)))
    assert answers == {Answer.ENQUEUED: 40, Answer.UNDER_WAY: 120}
    assert bells() == 40
    assert Counter(witness.pairs()) == {(MISSING, QUEUED): 40}


def test_clicks_and_sweeps_and_the_wake_up_loop_retry_what_is_due_once() -> None:
    pks = [recording(FAILED, next_retry_at=now(-1)).pk for _ in range(30)]

    def click() -> int:
        return [Recording.objects.ask(Recording.objects.get(pk=pk), Ask.PLAY) for pk in pks].count(Answer.ENQUEUED)

    queued = race(click, Recording.objects.retry_due, click, Recording.objects.retry_due, Recording.objects.retry_due)
    assert sum(queued) == 30
    assert Recording.objects.counts()["queued"] == 30
    assert bells() <= 30


def test_bulk_verbs_over_the_same_rows_in_different_orders_do_not_lock_each_other_out(witness: Witness) -> None:
    pks = [recording(FAILED, next_retry_at=now(-1)).pk for _ in range(60)]
    for _ in range(5):
        moved = race(
            Recording.objects.retry_due,
            lambda: Recording.objects.queue(Ask.PERSON),
            lambda: sum(Recording.objects.filter(pk=pk).queue(Ask.FORCE) for pk in reversed(pks)),
            lambda: Recording.objects.filter(pk__in=pks[::-1]).queue(Ask.FORCE),
        )
        assert sum(moved) == 60
        assert witness.offences() == []
        CallLog.objects.update(recording_download_status=FAILED, recording_next_retry_at=now(-1))
        witness.forget()


@pytest.fixture
def lapsed() -> list[CallLog]:
    """Thirty downloads whose leases are over, and whose worker does not know."""
    for _ in range(30):
        recording(QUEUED)
    claimed: list[CallLog] = Recording.objects.start(30, worker="w")
    rows.pass_time(31)
    return claimed


def finish(claimed: list[CallLog]) -> int:
    return len(Recording.objects.finish([rows.finished(held(row)) for row in claimed]))


def fail(claimed: list[CallLog]) -> int:
    failures = [Failed(held(row), Reason.STALLED, permanent=False) for row in claimed]
    return len(Recording.objects.fail(failures))


def give_back(claimed: list[CallLog]) -> int:
    return int(Recording.objects.give_back([held(row) for row in claimed]))


@pytest.mark.parametrize("end", [finish, fail, give_back])
def test_a_worker_that_ends_while_the_sweep_releases_its_leases_ends_each_attempt_once(
    lapsed: list[CallLog], end: Callable[[list[CallLog]], int]
) -> None:
    ended, released, beaten = race(
        lambda: sum(end([row]) for row in lapsed),
        Recording.objects.release,
        lambda: len(Recording.objects.beat([])),
    )
    assert (ended + released, beaten) == (30, 0)
    assert not Attempt.objects.running().exists()
    outcomes = Counter(Attempt.objects.values_list("outcome", flat=True))
    assert outcomes[Outcome.CRASHED] == released
    assert bells() == (1 if released else 0) + (ended if end is give_back else 0)


def test_a_beat_and_a_release_agree_on_who_holds_the_lease(lapsed: list[CallLog]) -> None:
    leases = [held(row) for row in lapsed]
    alive, released = race(lambda: len(Recording.objects.beat(leases[::-1])), Recording.objects.release)
    assert (alive, released) in {(30, 0), (0, 30)}
    still = set(Recording.objects.filter(recording_download_status=DOWNLOADING).values_list("pk", "recording_token"))
    assert still <= set(leases)
    assert Attempt.objects.running().count() == len(still)


def test_a_batch_that_finishes_while_sweeps_release_it_commits_what_it_still_holds(lapsed: list[CallLog]) -> None:
    ended, released, again = race(lambda: finish(lapsed[::-1]), Recording.objects.release, Recording.objects.release)
    assert ended + released + again == 30
    assert Recording.objects.counts()["ready"] == ended
    assert not Attempt.objects.running().exists()


def test_one_of_two_attempts_on_one_recording_commits(witness: Witness) -> None:
    for _ in range(10):
        row = recording(QUEUED)
        (first,) = Recording.objects.start(1, worker="paused")
        old = held(first)
        Recording.objects.release(dead=[old])
        (second,) = Recording.objects.start(1, worker="next")
        won = race(
            *(lambda lease=lease: Recording.objects.finish([rows.finished(lease)]) for lease in (old, held(second)))
        )
        assert won == [set(), {held(second)}]
        assert rows.read(row).recording_file == f"{row.pk}/{held(second)[1]}"


def test_a_lost_file_is_fetched_once_by_all_who_miss_it() -> None:
    row = recording(READY)

    def play() -> str:
        reading = rows.read(row)
        Recording.objects.lose(reading)
        return str(Recording.objects.ask(rows.read(row), Ask.PLAY))

    assert race(*[play] * 12).count(Answer.ENQUEUED) == 1
    assert bells() == 1


def test_many_writers_never_find_the_database_locked() -> None:
    def life() -> int:
        for _ in range(15):
            Recording.objects.ask(recording(), Ask.PLAY)
            claimed = Recording.objects.start(2, worker="w")
            Recording.objects.beat([held(claim) for claim in claimed])
            Recording.objects.finish([rows.finished(held(claim)) for claim in claimed])
            Recording.objects.release()
            Recording.objects.retry_due()
            Recording.objects.ring_again()
        return 15

    rows.business()
    assert sum(race(*[life] * 8)) == 120
    counts = Recording.objects.counts()
    assert counts["ready"] + counts["queued"] == 120
    assert bell.is_rung()


def test_of_those_who_ask_for_many_at_once_each_recording_is_enqueued_by_one() -> None:
    made = [recording() for _ in range(20)]

    def ask(mine: list[CallLog]) -> list[int]:
        answers = Recording.objects.ask_each([rows.read(row) for row in mine], Ask.PLAY)
        return [pk for pk, answer in answers.items() if answer is Answer.ENQUEUED]

    parts = [made, made[5:], made[:10], made[::2], made]
    enqueued = [pk for found in race(*(lambda part=part: ask(part) for part in parts)) for pk in found]
    assert sorted(enqueued) == sorted(row.pk for row in made)
    assert Recording.objects.counts()["queued"] == 20
