"""The worker's verbs: who is claimed first, what a lease is worth, how an attempt ends."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from calls.clock import now
from calls.models import PRIORITY_BULK, PRIORITY_CLICK, CallLog
from recordings import backoff
from recordings.announcement import announce
from recordings.models import Attempt, Outcome, ProviderAccount, Recording
from recordings.reasons import OURS, Reason
from recordings.results import Begun, Failed, Finished, digest
from recordings.tests import rows
from recordings.tests.rows import DOWNLOADING, FAILED, MISSING, QUEUED, READY, bells, business, held, recording, world

pytestmark = pytest.mark.django_db


def claimed(count: int = 1, **columns: Any) -> list[CallLog]:
    """So many recordings, claimed together."""
    for _ in range(count):
        recording(QUEUED, **columns)
    rows: list[CallLog] = Recording.objects.start(count, worker="w")
    return rows


def only_attempt(row: CallLog) -> Attempt:
    return Attempt.objects.get(recording_id=row.pk)


# --- start ----------------------------------------------------------------------------------------------------------


def test_clicks_are_claimed_first_and_then_who_has_waited_longest() -> None:
    late, early = recording(QUEUED, last_enqueue_at=now(-5)), recording(QUEUED, last_enqueue_at=now(-50))
    click = recording(QUEUED, priority=PRIORITY_CLICK)
    assert [row.pk for row in Recording.objects.start(2, worker="w")] == [click.pk, early.pk]
    assert [row.pk for row in Recording.objects.start(2, worker="w")] == [late.pk]
    assert Recording.objects.start(2, worker="w") == []


def test_slots_kept_for_clicks_claim_only_clicks() -> None:
    recording(QUEUED, priority=PRIORITY_BULK)
    click = recording(QUEUED, priority=PRIORITY_CLICK)
    assert [row.pk for row in Recording.objects.start(5, worker="w", clicks_only=True)] == [click.pk]


def test_a_claim_opens_an_attempt_that_names_the_token_the_worker_and_the_address() -> None:
    (row,) = claimed()
    attempt = only_attempt(row)
    assert (attempt.token, attempt.worker, attempt.outcome) == (row.recording_token, "w", Outcome.RUNNING)
    assert attempt.url_digest == digest(row.recording_url or "")
    assert attempt.ended_at is None


def test_claimed_rows_come_as_they_are_now() -> None:
    (row,) = claimed()
    assert rows.columns_of(row) == {name: getattr(row, name) for name in rows.COLUMNS}


def test_what_an_attempt_needs_to_know_of_its_row_is_read_with_the_claim() -> None:
    (row,) = claimed()
    with CaptureQueriesContext(connection) as captured:
        assert (row.business_id, row.call_sid[:2], row.duration, row.recording_sid) == (business().pk, "CA", None, None)
        assert (row.recording_url or "").startswith("https://voice.example.com/")
        assert (row.recording_priority, row.recording_version) == (PRIORITY_BULK, None)
        assert None not in (row.started_at, row.recording_started_at)
        assert (row.recording_download_status, len(row.recording_token or "")) == (DOWNLOADING, 32)
    assert [query["sql"] for query in captured.captured_queries if "call_log" in query["sql"]] == []


def test_an_account_that_was_asked_to_slow_down_waits_and_others_do_not() -> None:
    recording(QUEUED)
    ProviderAccount.objects.update(paused_until=now(10))
    other = recording(QUEUED, business("globex"))
    CallLog.objects.filter(pk=other.pk).update(recording_priority=PRIORITY_BULK)
    assert [row.pk for row in Recording.objects.start(5, worker="w")] == [other.pk]
    rows.pass_time(10)
    assert len(Recording.objects.start(5, worker="w")) == 1


def test_a_paused_account_is_not_rung_for_again() -> None:
    recording(QUEUED)
    rows.pass_time(60)
    ProviderAccount.objects.update(paused_until=now(10))
    assert not Recording.objects.ring_again()


def test_a_business_without_an_account_is_claimed_too_so_that_it_can_fail_with_a_reason() -> None:
    recording(QUEUED)
    ProviderAccount.objects.all().delete()
    assert len(Recording.objects.start(5, worker="w")) == 1


# --- beat and announce ----------------------------------------------------------------------------------------------


def test_a_beat_tells_which_leases_still_hold() -> None:
    mine, lost = claimed(2)
    CallLog.objects.filter(pk=lost.pk).update(recording_token="0" * 32)
    assert Recording.objects.beat([held(mine), held(lost)]) == {held(mine)}


def test_a_beat_for_an_old_lease_on_a_row_that_the_same_worker_claimed_again_does_not_count_as_the_old_one() -> None:
    (row,) = claimed()
    old = held(row)
    Recording.objects.give_back([old])
    (again,) = Recording.objects.start(1, worker="w")
    assert Recording.objects.beat([old, held(again)]) == {held(again)}


def test_a_beat_renews_what_it_names_and_not_its_neighbour_of_the_same_claim() -> None:
    mine, neighbour = claimed(2)
    rows.pass_time(20)
    before = rows.columns_of(neighbour)
    Recording.objects.beat([held(mine)])
    assert rows.columns_of(neighbour) == before
    assert rows.columns_of(mine)["recording_lease_until"] > before["recording_lease_until"]


def test_a_token_that_was_left_behind_in_the_queue_is_no_lease() -> None:
    row = recording(QUEUED, token="e" * 32)
    before = world()
    assert Recording.objects.beat([held(row)]) == set()
    assert world() == before


@pytest.mark.parametrize(
    "act",
    [
        lambda: Recording.objects.beat([]),
        lambda: Recording.objects.finish([]),
        Recording.objects.release,
        Recording.objects.retry_due,
        Recording.objects.ring_again,
    ],
    ids=["beat", "finish", "release", "retry_due", "ring_again"],
)
def test_with_nothing_to_do_the_worker_and_the_sweep_only_read(act: Callable[[], object]) -> None:
    claimed()
    recording(FAILED), recording(QUEUED)
    with CaptureQueriesContext(connection) as captured:
        act()
    assert {query["sql"].split()[0] for query in captured.captured_queries} <= {"SELECT"}


def test_what_the_provider_announced_is_kept_with_the_row_and_the_attempt() -> None:
    (row,) = claimed()
    assert announce([Begun(held(row), 99, "audio/wav", 1234, '"v"')])
    assert (rows.read(row).recording_bytes_total, rows.read(row).recording_version) == (99, 1234)
    assert (only_attempt(row).bytes_total, only_attempt(row).version) == (99, 1234)
    assert only_attempt(row).validator == '"v"'


def test_many_are_announced_each_under_its_own_lease() -> None:
    first, second, lost = claimed(3)
    CallLog.objects.filter(pk=lost.pk).update(recording_token="0" * 32)
    begun = [Begun(held(row), size, "audio/wav", size) for row, size in ((first, 11), (second, 22), (lost, 33))]
    assert announce(begun) == 2
    assert [rows.read(row).recording_bytes_total for row in (first, second, lost)] == [11, 22, None]
    assert [only_attempt(row).bytes_total for row in (first, second, lost)] == [11, 22, None]


def test_two_attempts_of_one_recording_are_announced_each_under_its_own_lease() -> None:
    (row,) = claimed()
    stale = held(row)
    Recording.objects.give_back([stale])
    (again,) = Recording.objects.start(1, worker="w")
    assert announce([Begun(stale, 1, "audio/wav", 1), Begun(held(again), 2, "audio/wav", 2)]) == 1
    assert rows.read(row).recording_bytes_total == 2


# --- finish, fail, give back ----------------------------------------------------------------------------------------


def test_a_batch_of_results_commits_those_whose_lease_holds() -> None:
    mine, lost, adopted = claimed(3)
    Recording.objects.release(dead=[held(lost)])
    results = [rows.finished(held(mine)), rows.finished(held(lost)), rows.finished(held(adopted), adopted=True)]
    assert Recording.objects.finish(results) == {held(mine), held(adopted)}
    assert [only_attempt(row).outcome for row in (mine, lost, adopted)] == ["ready", "crashed", "adopted"]
    assert (only_attempt(mine).bytes_done, only_attempt(mine).bytes_total) == (9, 9)
    assert rows.read(lost).recording_download_status == QUEUED


def test_each_attempt_is_given_the_size_of_its_own_file() -> None:
    recording(READY)  # so that no attempt has its recording's number
    first, second = claimed(2)
    sizes = {first.pk: 5, second.pk: 6}
    Recording.objects.finish(
        [Finished(held(row), replace(rows.whole(*held(row)), bytes=sizes[row.pk])) for row in (first, second)]
    )
    assert [only_attempt(row).bytes_done for row in (first, second)] == [5, 6]
    assert [rows.read(row).recording_bytes for row in (first, second)] == [5, 6]


def test_a_stale_attempt_and_the_present_one_that_end_together_are_committed_each_under_its_own_lease() -> None:
    (row,) = claimed()
    stale = held(row)
    Recording.objects.release(dead=[stale])
    (again,) = Recording.objects.start(1, worker="w")
    assert Recording.objects.finish([rows.finished(stale), rows.finished(held(again))]) == {held(again)}
    assert rows.read(row).recording_file == f"{row.pk}/{again.recording_token}"


def test_a_file_that_the_row_names_is_committed_only_when_the_row_is_ready() -> None:
    (row,) = claimed()
    stale = held(row)
    Recording.objects.release(dead=[stale])
    CallLog.objects.update(recording_file=f"{row.pk}/{stale[1]}")
    assert Recording.objects.finish([rows.finished(stale)]) == set()


def test_a_second_finish_changes_nothing() -> None:
    (row,) = claimed()
    Recording.objects.finish([rows.finished(held(row))])
    before = world()
    Recording.objects.finish([rows.finished(held(row))])
    assert world() == before


def test_a_commit_says_what_the_file_is() -> None:
    (row,) = claimed()
    Recording.objects.finish([Finished(held(row), rows.whole(*held(row)))])
    assert rows.read(row).recording_file == f"{row.pk}/{row.recording_token}"


@pytest.mark.parametrize(("before", "wait"), list(enumerate(backoff.DELAYS)))
def test_a_failure_waits_the_longer_the_more_went_before_and_its_attempt_says_until_when(
    before: int, wait: int
) -> None:
    (row,) = claimed(fail_count=before)
    began = rows.clock()
    Recording.objects.fail(
        [Failed(held(row), Reason.STALLED, permanent=False, detail="x" * 900, http_status=200, bytes_done=4)]
    )
    after, attempt = rows.read(row), only_attempt(row)
    assert after.recording_next_retry_at is not None
    assert timedelta(0) <= after.recording_next_retry_at - began - timedelta(seconds=wait) <= rows.clock() - began
    assert attempt.next_retry_at == after.recording_next_retry_at
    assert (attempt.outcome, attempt.reason, attempt.http_status, attempt.bytes_done) == ("failed", "stalled", 200, 4)
    assert len(attempt.detail) == 500
    assert attempt.ended_at is not None
    assert began <= attempt.ended_at <= rows.clock()


def test_two_failures_that_come_together_count_each_for_its_own_recording_and_attempt() -> None:
    first, second, running = claimed(3)
    failures = [Failed(held(second), Reason.GONE, permanent=True), Failed(held(first), Reason.STALLED, permanent=False)]
    assert Recording.objects.fail(failures) == {held(first), held(second)}
    assert [rows.read(row).recording_reason for row in (first, second, running)] == ["stalled", "gone", ""]
    assert [only_attempt(row).reason for row in (first, second, running)] == ["stalled", "gone", ""]
    assert [only_attempt(row).outcome for row in (first, second, running)] == ["failed", "failed", "running"]
    assert only_attempt(second).next_retry_at is None


def test_the_end_of_an_attempt_does_not_end_another_of_the_same_recording() -> None:
    (row,) = claimed()
    other = Attempt.objects.create(recording_id=row.pk, token="e" * 32)
    Recording.objects.fail([Failed(held(row), Reason.STALLED, permanent=False)])
    other.refresh_from_db()
    assert other.outcome == Outcome.RUNNING


@pytest.mark.parametrize(("permanent", "asked", "status"), [
    (True, "the old one", MISSING), (True, "the new one", FAILED), (True, "", FAILED), (False, "the old one", FAILED),
])  # fmt: skip
def test_a_failure_for_good_says_nothing_of_an_address_that_was_written_meanwhile(
    permanent: bool, asked: str, status: str
) -> None:
    (row,) = claimed()
    new = "https://voice.example.com/new.wav"
    url = {"the old one": row.recording_url or "", "the new one": new, "": ""}[asked]
    CallLog.objects.filter(pk=row.pk).update(recording_url=new)
    assert Recording.objects.fail([Failed(held(row), Reason.GONE, permanent, url=url)]) == {held(row)}
    assert rows.read(row).recording_download_status == status
    assert (only_attempt(row).outcome, only_attempt(row).reason) == (Outcome.FAILED, Reason.GONE)


def test_five_failures_in_a_row_exhaust_it_and_a_person_starts_it_anew() -> None:
    row = recording(QUEUED)
    for _ in range(backoff.ATTEMPTS):
        (claim,) = Recording.objects.start(1, worker="w")
        Recording.objects.fail([Failed(held(claim), Reason.UNREACHABLE, permanent=False)])
        rows.pass_time(91)
        Recording.objects.retry_due()
    exhausted = rows.read(row)
    assert (exhausted.recording_download_status, exhausted.recording_fail_count) == (FAILED, 5)
    assert (exhausted.recording_next_retry_at, exhausted.recording_permanent) == (None, False)
    assert Attempt.objects.filter(outcome=Outcome.FAILED).count() == 5


@pytest.mark.parametrize("reason", sorted(OURS))
def test_a_fault_of_this_machine_spends_no_last_try_and_waits_as_long_as_after_many(reason: Reason) -> None:
    (row,) = claimed(fail_count=backoff.ATTEMPTS - 2)
    counts, waits = [], []
    for _ in range(3):
        began = rows.clock()
        Recording.objects.fail([Failed(held(row), reason, permanent=False)])
        after = rows.read(row)
        assert after.recording_next_retry_at is not None
        counts.append(after.recording_fail_count)
        waits.append(round((after.recording_next_retry_at - began).total_seconds()))
        rows.pass_time(waits[-1] + 1)
        Recording.objects.retry_due()
        (row,) = Recording.objects.start(1, worker="w")
    assert counts == [backoff.ATTEMPTS - 1] * 3
    assert waits == [backoff.DELAYS[-1]] * 3


def test_a_fault_of_this_machine_waits_for_longer_when_the_provider_wished_so() -> None:
    (row,) = claimed(fail_count=backoff.ATTEMPTS - 1)
    began = rows.clock()
    Recording.objects.fail([Failed(held(row), Reason.STORAGE_FULL, permanent=False, retry_after=300)])
    retry = rows.read(row).recording_next_retry_at
    assert retry is not None
    assert round((retry - began).total_seconds()) == 300


@pytest.mark.parametrize(("wish", "seconds"), [(0, 5), (3, 5), (60, 60), (100_000, 900), (-4, 5), (None, 5)])
def test_the_providers_wish_only_lengthens_the_wait_and_not_without_end(wish: float | None, seconds: int) -> None:
    (row,) = claimed()
    began = rows.clock()
    Recording.objects.fail([Failed(held(row), Reason.RATE_LIMITED, permanent=False, retry_after=wish)])
    retry = rows.read(row).recording_next_retry_at
    assert retry is not None
    assert timedelta(0) <= retry - began - timedelta(seconds=seconds) <= rows.clock() - began


def test_given_back_is_no_crash_and_one_bell_rings_for_all() -> None:
    first, second = claimed(2)
    assert Recording.objects.give_back([held(first), held(second)]) == 2
    assert bells() == 1
    assert {only_attempt(row).outcome for row in (first, second)} == {Outcome.GIVEN_BACK}
    assert (Recording.objects.give_back([held(first)]), bells()) == (0, 1)


# --- release --------------------------------------------------------------------------------------------------------


def test_a_lease_that_holds_is_not_released_and_one_that_is_over_is() -> None:
    (row,) = claimed()
    rows.pass_time(25)
    assert Recording.objects.release() == 0
    rows.pass_time(5)
    assert Recording.objects.release() == 1
    assert (rows.read(row).recording_download_status, bells()) == (QUEUED, 1)
    assert only_attempt(row).outcome == Outcome.CRASHED


def test_a_lease_that_no_clock_can_explain_counts_as_over() -> None:
    (row,) = claimed()
    CallLog.objects.update(recording_lease_until=now(61))
    assert Recording.objects.release() == 1
    assert rows.read(row).recording_download_status == QUEUED


def test_an_operator_may_release_only_what_has_been_silent_for_long_and_never_what_has_not() -> None:
    claimed()
    rows.pass_time(595)
    assert Recording.objects.release(silent=600) == 0
    rows.pass_time(5)
    assert Recording.objects.release(silent=600) == 1


def test_an_operator_can_not_release_a_lease_that_holds() -> None:
    claimed()
    rows.pass_time(20)
    assert Recording.objects.release(silent=0) == 0


def test_a_writer_proven_dead_is_released_before_its_lease_is_over_and_its_neighbours_are_not() -> None:
    dead, alive = claimed(2)
    assert Recording.objects.release(dead=[held(dead)]) == 1
    assert [rows.read(row).recording_download_status for row in (dead, alive)] == [QUEUED, DOWNLOADING]


def test_a_proof_of_death_that_comes_late_does_not_harm_the_next_attempt() -> None:
    (row,) = claimed()
    late = held(row)
    Recording.objects.release(dead=[late])
    (again,) = Recording.objects.start(1, worker="w")
    assert Recording.objects.release(dead=[late]) == 0
    assert rows.read(again).recording_token == again.recording_token


def test_the_fifth_crash_in_a_row_is_one_failure_that_is_retried_later() -> None:
    row = recording(QUEUED)
    for crashes in range(1, 6):
        (claim,) = Recording.objects.start(1, worker="w")
        Recording.objects.release(dead=[held(claim)])
        assert rows.read(row).recording_crash_count == crashes % 5
    failed = rows.read(row)
    assert (failed.recording_download_status, failed.recording_reason) == (FAILED, Reason.WORKER_CRASHED)
    assert (failed.recording_fail_count, failed.recording_permanent) == (1, False)
    assert bells() == 4
    rows.pass_time(5)
    assert Recording.objects.retry_due() == 1


def test_a_release_counts_what_it_queued_and_what_it_failed() -> None:
    worn, fresh = claimed(1, crash_count=4), claimed(1)
    assert Recording.objects.release(dead=[held(*worn), held(*fresh)]) == 2
    assert [rows.read(row).recording_download_status for row in (*worn, *fresh)] == [FAILED, QUEUED]


def test_crashes_are_counted_in_a_row_and_a_failure_in_between_starts_the_count_again() -> None:
    (row,) = claimed(crash_count=4)
    Recording.objects.fail([Failed(held(row), Reason.STALLED, permanent=False)])
    assert rows.read(row).recording_crash_count == 0


def test_a_release_closes_every_attempt_that_lost_its_right_to_write_also_of_rows_set_by_hand() -> None:
    (row,) = claimed()
    CallLog.objects.filter(pk=row.pk).update(recording_download_status="missing")
    assert Recording.objects.release() == 0
    assert only_attempt(row).outcome == Outcome.CRASHED


def test_a_release_with_nothing_to_do_changes_nothing() -> None:
    claimed(2)
    recording(READY), recording(FAILED), recording(QUEUED)
    CallLog.objects.update(recording_crash_count=F("recording_crash_count") + 1)
    before = world()
    assert Recording.objects.release() == 0
    assert world() == before
