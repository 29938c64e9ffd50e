"""Asking for a recording: who may queue what, and when; and the bells that say so."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from calls.clock import now
from calls.models import PRIORITY_CLICK, CallLog, RecordingStatus
from recordings.lifecycle import Answer, Ask, RecordingQuerySet, tell
from recordings.models import Recording
from recordings.reasons import Reason
from recordings.tests import rows
from recordings.tests.rows import DOWNLOADING, FAILED, MISSING, QUEUED, READY, bells, recording, world

# --- the guards of time ---------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("ask", [Ask.PLAY, Ask.PERSON, Ask.FORCE])
def test_the_cooldown_of_what_is_missing_ends_after_sixty_seconds(ask: Ask) -> None:
    row = recording(MISSING, last_enqueue_at=now())
    rows.pass_time(55)
    assert Recording.objects.ask(rows.read(row), ask) == Answer.COOLING_DOWN
    rows.pass_time(5)
    assert Recording.objects.ask(rows.read(row), ask) == Answer.ENQUEUED


@pytest.mark.django_db
def test_a_last_enqueue_in_the_future_counts_as_past() -> None:
    row = recording(MISSING, last_enqueue_at=now(500))
    assert Recording.objects.ask(row, Ask.PLAY) == Answer.ENQUEUED


@pytest.mark.django_db
def test_a_failure_obeys_its_retry_time_and_not_the_cooldown() -> None:
    row = recording(FAILED, last_enqueue_at=now(), next_retry_at=now(5))
    assert Recording.objects.ask(row, Ask.PLAY) == Answer.BACKING_OFF
    assert Recording.objects.retry_due() == 0
    CallLog.objects.update(recording_next_retry_at=now())
    assert Recording.objects.ask(rows.read(row), Ask.PLAY) == Answer.ENQUEUED


EXHAUSTED: dict[str, Any] = {"next_retry_at": None, "fail_count": 5}
FOR_GOOD: dict[str, Any] = {"next_retry_at": None, "permanent": True, "reason": Reason.UNAUTHORISED}
DELETED: dict[str, Any] = {"next_retry_at": None, "permanent": True, "reason": Reason.DELETED}


@pytest.mark.django_db
@pytest.mark.parametrize(("columns", "play", "person", "force"), [
    ({}, Answer.BACKING_OFF, Answer.ENQUEUED, Answer.ENQUEUED),
    (EXHAUSTED, Answer.FAILED, Answer.ENQUEUED, Answer.ENQUEUED),
    (FOR_GOOD, Answer.FAILED, Answer.FAILED, Answer.ENQUEUED),
    (DELETED, Answer.FAILED, Answer.FAILED, Answer.FAILED),
])  # fmt: skip
def test_who_asks_decides_what_failure_is_beaten(
    columns: dict[str, Any], play: Answer, person: Answer, force: Answer
) -> None:
    answers = [Recording.objects.ask(recording(FAILED, **columns), ask) for ask in (Ask.PLAY, Ask.PERSON, Ask.FORCE)]
    assert answers == [play, person, force]
    assert bells() == answers.count(Answer.ENQUEUED)


@pytest.mark.django_db
@pytest.mark.parametrize("columns", [EXHAUSTED, FOR_GOOD, DELETED])
def test_what_is_over_is_not_retried_by_itself(columns: dict[str, Any]) -> None:
    recording(FAILED, **columns)
    rows.pass_time(100_000)
    assert (Recording.objects.retry_due(), bells()) == (0, 0)


# --- asking ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(("status", "answer"), [
    (QUEUED, Answer.UNDER_WAY), (DOWNLOADING, Answer.UNDER_WAY), (READY, Answer.READY),
])  # fmt: skip
def test_asking_for_what_needs_nothing_writes_nothing(status: RecordingStatus, answer: Answer) -> None:
    row = recording(status, priority=PRIORITY_CLICK)
    before = world()
    assert [Recording.objects.ask(row, ask) for ask in (Ask.PLAY, Ask.PERSON, Ask.FORCE)] == [answer] * 3
    assert world() == before


@pytest.mark.django_db
def test_a_click_on_what_waits_behind_a_backfill_moves_it_up_without_a_bell() -> None:
    row = recording(QUEUED)
    assert Recording.objects.ask(row, Ask.PLAY) == Answer.UNDER_WAY
    assert (rows.read(row).recording_priority, bells()) == (PRIORITY_CLICK, 0)


@pytest.mark.django_db
@pytest.mark.parametrize(("read_as", "is_now", "answer"), [
    (MISSING, QUEUED, Answer.UNDER_WAY), (MISSING, DOWNLOADING, Answer.UNDER_WAY), (MISSING, READY, Answer.READY),
    (FAILED, READY, Answer.READY), (FAILED, QUEUED, Answer.UNDER_WAY),
])  # fmt: skip
def test_asking_with_an_old_reading_of_the_row_is_answered_from_the_row(
    read_as: RecordingStatus, is_now: RecordingStatus, answer: Answer
) -> None:
    row = recording(is_now)
    row.recording_download_status = read_as
    assert Recording.objects.ask(row, Ask.PERSON) == answer
    assert (row.recording_download_status, bells()) == (is_now, 0)


@pytest.mark.django_db
def test_the_row_in_hand_shows_what_asking_did() -> None:
    row = recording(FAILED, **EXHAUSTED)
    Recording.objects.ask(row, Ask.PERSON)
    assert (row.recording_download_status, row.recording_fail_count, row.recording_reason) == (QUEUED, 0, "")


@pytest.mark.django_db
def test_bulk_work_rings_one_bell_and_waits_behind_clicks() -> None:
    for _ in range(5):
        recording()
    clicked = recording()
    assert Recording.objects.exclude(pk=clicked.pk).queue(Ask.PERSON) == 5
    Recording.objects.ask(clicked, Ask.PLAY)
    assert bells() == 2
    assert next(iter(Recording.objects.start(1, worker="w"))).pk == clicked.pk


@pytest.mark.django_db
def test_many_that_are_asked_for_together_are_one_write_and_one_bell_and_each_has_its_own_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cold, taken, foreign = recording(), recording(), recording()
    read = [cold, taken, recording(FAILED, next_retry_at=now(-1)), recording(FAILED), recording(READY), foreign]
    CallLog.objects.filter(pk=taken.pk).update(recording_download_status=QUEUED, recording_priority=PRIORITY_CLICK)
    foreign.business = rows.business("globex")
    before = rows.read(foreign)
    with caplog.at_level("INFO"):
        answers = Recording.objects.ask_each(read, Ask.PLAY)
        for row in read[:-1]:
            tell(row, answers[row.pk])
    assert [answers[row.pk] for row in read[:-1]] == [
        Answer.ENQUEUED, Answer.UNDER_WAY, Answer.ENQUEUED, Answer.BACKING_OFF, Answer.READY,
    ]  # fmt: skip
    assert rows.read(foreign).recording_download_status == before.recording_download_status
    assert bells() == 1
    said = [record.call_sid for record in caplog.records if record.message == "Priority download job enqueued"]  # type: ignore[attr-defined]
    assert said == [cold.call_sid, read[2].call_sid]


@pytest.mark.django_db
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
def test_a_click_on_what_may_be_retried_keeps_the_count_of_its_failures(others: int) -> None:
    row = recording(FAILED, next_retry_at=now(-1), fail_count=3, crash_count=2)
    asked = [row, *[recording(MISSING) for _ in range(others)]]
    assert set(Recording.objects.ask_each(asked, Ask.PLAY).values()) == {Answer.ENQUEUED}
    assert (rows.read(row).recording_fail_count, rows.read(row).recording_crash_count) == (3, 2)
    assert rows.read(row).recording_priority == PRIORITY_CLICK


@pytest.mark.django_db
@pytest.mark.parametrize(("status", "columns", "answer"), [
    (MISSING, {"last_enqueue_at": now()}, Answer.COOLING_DOWN), (FAILED, {}, Answer.BACKING_OFF),
    (READY, {}, Answer.READY), (DOWNLOADING, {}, Answer.UNDER_WAY), (QUEUED, {"priority": 1}, Answer.UNDER_WAY),
])  # fmt: skip
def test_a_question_whose_answer_is_no_only_reads(
    status: RecordingStatus, columns: dict[str, Any], answer: Answer
) -> None:
    row = recording(status, **columns)
    with CaptureQueriesContext(connection) as captured:
        assert Recording.objects.ask(row, Ask.PLAY) == answer
    assert {query["sql"].split()[0] for query in captured.captured_queries} <= {"SELECT"}


@pytest.mark.django_db
def test_asking_for_what_has_gone_meanwhile_is_answered_from_the_reading() -> None:
    row = recording(MISSING)
    CallLog.objects.filter(pk=row.pk).delete()
    assert Recording.objects.ask(row, Ask.PLAY) == Answer.COOLING_DOWN


@pytest.mark.django_db
def test_the_row_in_hand_keeps_the_business_that_was_read_with_it() -> None:
    row = Recording.objects.select_related("business").get(pk=recording(READY).pk)
    row.recording_download_status = MISSING
    assert Recording.objects.ask(row, Ask.PLAY) == Answer.READY
    with CaptureQueriesContext(connection) as captured:
        assert row.business.slug == "acme"
    assert len(captured) == 0


class Overtaken(RecordingQuerySet):
    """Another asks between the look and the write."""

    def _queue(self, ask: Ask, priority: int, *, ring: bool = True) -> int:
        CallLog.objects.update(recording_download_status=QUEUED)
        return super()._queue(ask, priority, ring=ring)


@pytest.mark.django_db
def test_who_is_overtaken_between_the_look_and_the_write_has_not_queued_it() -> None:
    row = recording(MISSING)
    assert Overtaken(Recording).ask(row, Ask.PLAY) == Answer.UNDER_WAY
    assert (row.recording_download_status, bells()) == (QUEUED, 0)


@pytest.mark.django_db
def test_a_further_chunk_of_bulk_work_rings_no_bell_of_its_own() -> None:
    recording(MISSING)
    assert (Recording.objects.queue(Ask.PERSON, ring=False), bells()) == (1, 0)


def test_the_words_of_the_answers_are_those_that_programs_know() -> None:
    assert list(Answer) == [
        "enqueued", "under_way", "ready", "cooling_down", "backing_off", "failed", "not_started",
    ]  # fmt: skip


@pytest.mark.django_db
def test_queueing_nothing_rings_nothing() -> None:
    recording(READY)
    assert (Recording.objects.queue(Ask.FORCE), bells()) == (0, 0)


# --- ring again -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_one_bell_rings_again_for_all_that_wait_in_silence_and_none_while_one_waits_to_be_heard() -> None:
    for _ in range(3):
        recording(QUEUED)
    assert not Recording.objects.ring_again()
    rows.pass_time(15)
    assert Recording.objects.ring_again()
    assert not Recording.objects.ring_again()
    assert bells() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("queued_at", [None, now(500)], ids=["by hand, at no time", "in the future"])
def test_a_bell_rings_for_what_waits_since_a_time_that_tells_nothing(queued_at: Any) -> None:
    recording(QUEUED, last_enqueue_at=queued_at)
    assert (Recording.objects.ring_again(), bells()) == (True, 1)


@pytest.mark.django_db
def test_backing_off_is_what_failed_and_has_a_time_to_try_again() -> None:
    backing_off = recording(FAILED)
    recording(FAILED, **EXHAUSTED), recording(MISSING, next_retry_at=now(5)), recording(QUEUED)
    assert list(Recording.objects.backing_off()) == [backing_off]


@pytest.mark.django_db
def test_due_is_what_failed_for_now_and_whose_time_has_come() -> None:
    due = recording(FAILED, next_retry_at=now(-1))
    recording(FAILED), recording(FAILED, **EXHAUSTED), recording(MISSING, next_retry_at=now(-1))
    assert list(Recording.objects.due()) == [due]


@pytest.mark.django_db
def test_a_retry_further_ahead_than_any_wait_that_is_granted_is_due_and_the_longest_that_is_granted_is_not() -> None:
    recording(FAILED, next_retry_at=now(899))
    wrong = recording(FAILED, next_retry_at=now(901))
    assert list(Recording.objects.due()) == [wrong]


@pytest.mark.django_db
def test_the_longest_wait_of_our_own_is_no_wrong_clock_though_providers_are_granted_less(settings: Any) -> None:
    settings.RECORDINGS_MAX_RETRY_AFTER = 20
    recording(FAILED, next_retry_at=now(85))
    wrong = recording(FAILED, next_retry_at=now(95))
    assert list(Recording.objects.due()) == [wrong]


@pytest.mark.django_db
def test_a_retry_time_that_was_left_behind_does_not_end_the_cooldown_of_what_is_missing() -> None:
    row = recording(MISSING, last_enqueue_at=now(), next_retry_at=now(-1))
    assert Recording.objects.ask(row, Ask.PLAY) == Answer.COOLING_DOWN


@pytest.mark.django_db
def test_promoting_moves_up_what_waits_behind_a_backfill_and_touches_nothing_else() -> None:
    behind = recording(QUEUED)
    recording(QUEUED, priority=PRIORITY_CLICK), recording(DOWNLOADING), recording(MISSING), recording(READY)
    before = world()
    assert Recording.objects.promote() == 1
    after = world()
    assert [pk for pk in after.rows if after.rows[pk] != before.rows[pk]] == [behind.pk]


@pytest.mark.django_db
def test_counts_name_every_status() -> None:
    recording(READY), recording(READY), recording(FAILED, reason=Reason.STALLED), recording(FAILED, reason=Reason.GONE)
    recording(MISSING, url=None)
    assert Recording.objects.counts() == {"missing": 0, "queued": 0, "downloading": 0, "ready": 2, "failed": 2}
