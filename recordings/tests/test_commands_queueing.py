"""backfill_recordings, retry_failed_recordings, reset_stuck_recordings: bulk work behind every click."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django_q.models import OrmQ

from calls.clock import now
from calls.models import PRIORITY_BULK, Business, CallLog
from recordings import bulk
from recordings.lifecycle import Ask
from recordings.models import Attempt, Outcome, ProviderAccount, Recording
from recordings.reasons import Reason
from recordings.results import Failed
from recordings.tests import rows
from recordings.tests.commands import run
from recordings.tests.rows import (
    DOWNLOADING,
    FAILED,
    MISSING,
    QUEUED,
    READY,
    bells,
    business,
    read,
    recording,
    world,
)  # fmt: skip
from recordings.tests.transitions import Witness

pytestmark = pytest.mark.django_db


def queued() -> set[int]:
    return set(Recording.objects.filter(recording_download_status=QUEUED).values_list("pk", flat=True))


# --- backfill -------------------------------------------------------------------------------------------------------


def test_a_backfill_queues_what_is_missing_behind_every_click_under_one_bell(witness: Witness) -> None:
    missing = [recording() for _ in range(3)]
    for status in (QUEUED, DOWNLOADING, READY, FAILED):
        recording(status)
    recording(url=None)
    outcome = run("backfill_recordings", "--json")
    assert (outcome.code, outcome.report) == (0, {"found": 3, "enqueued": 3, "cooling_down": 0, "dry_run": False})
    assert {read(row).recording_priority for row in missing} == {PRIORITY_BULK}
    assert bells() == 1


def test_a_backfill_of_many_chunks_rings_one_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk.chunks, "__defaults__", (4,))
    for _ in range(11):
        recording()
    assert "Queued 11" in run("backfill_recordings").out
    assert (len(queued()), bells()) == (11, 1)


def test_a_bell_that_was_heard_between_two_chunks_is_followed_by_one_for_what_came_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(4):
        recording()
    monkeypatch.setattr(bulk.chunks, "__defaults__", (2,))
    heard: list[int] = []

    def hear(_amount: float) -> None:
        if not heard:
            heard.append(bells())
            OrmQ.objects.all().delete()

    pks = list(Recording.objects.values_list("pk", flat=True))
    assert bulk.queue_all(pks, Ask.PERSON, hear) == 4
    assert (heard, bells()) == ([1], 1)


def test_a_dry_run_of_a_backfill_changes_nothing() -> None:
    recording()
    before = world()
    assert run("backfill_recordings", "--dry-run", "--json").report == {
        "found": 1, "enqueued": 0, "cooling_down": 0, "dry_run": True,
    }  # fmt: skip
    assert world() == before


def test_a_backfill_can_be_kept_to_a_business_to_days_in_its_zone_and_to_the_newest() -> None:
    jerusalem = business("jerusalem")
    Business.objects.filter(pk=jerusalem.pk).update(timezone="Asia/Jerusalem")
    recording()  # another business's
    moments = [
        datetime(2026, 1, 9, 21, 59, tzinfo=UTC),
        datetime(2026, 1, 9, 22, 1, tzinfo=UTC),
        datetime(2026, 1, 10, 21, 59, tzinfo=UTC),
        datetime(2026, 1, 10, 22, 1, tzinfo=UTC),
    ]
    calls = [recording(owner=jerusalem) for _ in moments]
    for call, moment in zip(calls, moments, strict=True):
        CallLog.objects.filter(pk=call.pk).update(started_at=moment)
    day = ("--business", "jerusalem", "--since", "2026-01-10", "--until", "2026-01-10")
    assert run("backfill_recordings", "--dry-run", "--json", *day).report["found"] == 2
    run("backfill_recordings", *day, "--limit", "1")
    assert queued() == {calls[2].pk}
    run("backfill_recordings", *day)
    assert queued() == {calls[1].pk, calls[2].pk}


@pytest.mark.parametrize("options", [
    ["--since", "yesterday"], ["--since", "2026-02-02", "--until", "2026-02-01"],
    ["--since", "2026-02-02T10:00", "--until", "2026-02-02T09:00Z"], ["--until", "2026-13-01"],
    ["--business", "nobody"], ["--limit", "0"], ["--limit", "x"],
])  # fmt: skip
def test_a_backfill_of_what_can_not_be_is_a_usage_error_and_queues_nothing(options: list[str]) -> None:
    recording()
    outcome = run("backfill_recordings", *options)
    assert outcome.code == 2
    assert options[0].lstrip("-") in outcome.err or options[1] in outcome.err
    assert queued() == set()


def test_waiting_ends_when_all_are_downloaded_or_have_failed_and_tells_how_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        recording()
    turns = iter([None, Reason.STALLED, None, Reason.GONE])

    def work(_seconds: float) -> None:
        Recording.objects.filter(recording_download_status=FAILED).update(recording_next_retry_at=now(-1))
        Recording.objects.retry_due()
        (claim,) = Recording.objects.start(1, worker="w")
        reason = next(turns)
        if reason is None:
            Recording.objects.finish([rows.finished(rows.held(claim))])
        else:
            Recording.objects.fail([Failed(rows.held(claim), reason, permanent=reason == Reason.GONE)])

    monkeypatch.setattr(time, "sleep", work)
    outcome = run("backfill_recordings", "--wait", "--json")
    assert outcome.code == 1
    assert (outcome.report["enqueued"], outcome.report["ready"], outcome.report["failed"]) == (3, 2, 1)
    assert "recording_stats" in outcome.err


def test_waiting_for_nothing_ends_at_once() -> None:
    assert run("backfill_recordings", "--wait").code == 0


def test_a_backfill_tells_of_those_that_cool_down() -> None:
    recording(), recording(last_enqueue_at=now(-5)), recording(last_enqueue_at=now(-5))
    assert "Queued 1 missing recording. 2 left out: queued less than a minute ago" in run("backfill_recordings").out


def test_a_business_is_found_by_the_id_that_log_lines_have() -> None:
    mine, other = recording(owner=business("globex")), recording()
    run("backfill_recordings", "--business", str(mine.business_id))
    assert queued() == {mine.pk}
    digits = business(str(mine.business_id))
    CallLog.objects.filter(pk=other.pk).update(business=digits)
    run("backfill_recordings", "--business", digits.slug)
    assert other.pk in queued(), "a slug comes first"
    assert run("backfill_recordings", "--business", "9" * 30).code == 2


# --- retry ----------------------------------------------------------------------------------------------------------


FOR_GOOD: dict[str, Any] = {"permanent": True, "next_retry_at": None}


def test_a_retry_starts_anew_what_backs_off_or_was_given_up_and_leaves_what_failed_for_good() -> None:
    backing_off, exhausted = recording(FAILED), recording(FAILED, fail_count=5, next_retry_at=None)
    recording(FAILED, reason=Reason.UNAUTHORISED, **FOR_GOOD)
    recording(FAILED, reason=Reason.DELETED, **FOR_GOOD)
    recording(MISSING)
    outcome = run("retry_failed_recordings", "--json")
    assert outcome.report == {"found": 2, "enqueued": 2, "reasons": [], "dry_run": False}
    assert queued() == {backing_off.pk, exhausted.pk}
    assert (read(exhausted).recording_fail_count, bells()) == (0, 1)


def test_a_permanent_reason_is_retried_when_it_is_named() -> None:
    refused = recording(FAILED, reason=Reason.UNAUTHORISED, **FOR_GOOD)
    host = recording(FAILED, reason=Reason.HOST_NOT_ALLOWED, **FOR_GOOD)
    recording(FAILED, reason=Reason.GONE, **FOR_GOOD)
    run("retry_failed_recordings", "--reason", "unauthorised", "--reason", "host_not_allowed")
    assert queued() == {refused.pk, host.pk}


def test_a_retry_can_be_kept_to_a_business_and_tried_dry() -> None:
    recording(FAILED)
    mine = recording(FAILED, business("globex"))
    before = world()
    assert run("retry_failed_recordings", "--business", "globex", "--dry-run", "--json").report["found"] == 1
    assert world() == before
    run("retry_failed_recordings", "--business", "globex")
    assert queued() == {mine.pk}


@pytest.mark.parametrize("reason", ["deleted", "bad_luck"])
def test_a_reason_that_is_unknown_or_a_deletion_is_a_usage_error(reason: str) -> None:
    outcome = run("retry_failed_recordings", "--reason", reason)
    assert (outcome.code, reason in outcome.err) == (2, True)


# --- reset ----------------------------------------------------------------------------------------------------------


def test_a_reset_releases_what_has_been_silent_for_so_long(witness: Witness) -> None:
    old, young = recording(DOWNLOADING), recording(DOWNLOADING)
    rows.pass_time(595, old)
    rows.pass_time(200, young)
    assert run("reset_stuck_recordings", "--json").report == {"released": 0, "older_than": 600, "dry_run": False}
    rows.pass_time(5, old)
    assert run("reset_stuck_recordings", "--dry-run", "--json").report["released"] == 1
    assert queued() == set()
    assert "Released 1" in run("reset_stuck_recordings").out
    assert (queued(), bells()) == ({old.pk}, 1)
    assert run("reset_stuck_recordings", "--older-than", "3m", "--json").report["released"] == 1
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {Outcome.CRASHED}


@pytest.mark.parametrize("text", ["29s", "0", "ten minutes", "-5m", "", "366d", "999999d"])
def test_a_reset_after_less_than_a_lease_or_after_no_time_at_all_is_a_usage_error(text: str) -> None:
    row = recording(DOWNLOADING)
    rows.pass_time(31)
    assert run("reset_stuck_recordings", f"--older-than={text}").code == 2
    assert read(row).recording_download_status == DOWNLOADING


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("90s", 90), ("10m", 600), ("2h", 7200), ("1D", 86400)])
def test_a_reset_takes_seconds_minutes_hours_and_days(text: str, seconds: int) -> None:
    assert run("reset_stuck_recordings", f"--older-than={text}", "--json").report["older_than"] == seconds


# --- stats ----------------------------------------------------------------------------------------------------------


MONITORING = (
    "SELECT recording_download_status, COUNT(*) FROM call_log WHERE recording_url IS NOT NULL "
    "GROUP BY recording_download_status"
)


def test_the_stats_count_as_the_monitoring_query_does() -> None:
    for count, status in enumerate((MISSING, QUEUED, DOWNLOADING, READY, FAILED)):
        for _ in range(count):
            recording(status)
    recording(url=None)
    with connection.cursor() as cursor:
        cursor.execute(MONITORING)
        monitored = dict(cursor.fetchall())
    assert run("recording_stats", "--json").report["statuses"] == {"missing": 0} | monitored


def test_the_stats_tell_why_whose_what_waits_longest_and_what_is_downloading() -> None:
    recording(FAILED, reason=Reason.GONE, **FOR_GOOD)
    recording(FAILED), recording(FAILED)
    oldest = recording(QUEUED, business("globex"), last_enqueue_at=now(-100))
    recording(QUEUED)
    held = recording(DOWNLOADING, started_at=now(-50))
    report = run("recording_stats", "--json").report
    assert [(row["reason"], row["permanent"], row["count"]) for row in report["reasons"]] == [
        ("stalled", False, 2), ("gone", True, 1),
    ]  # fmt: skip
    assert report["businesses"]["globex"] == {"missing": 0, "queued": 1, "downloading": 0, "ready": 0, "failed": 0}
    assert (report["oldest_queued"]["call_sid"], report["oldest_queued"]["business"]) == (oldest.call_sid, "globex")
    assert report["oldest_queued"]["seconds"] >= 100
    assert [row["call_sid"] for row in report["downloading"]] == [held.call_sid]
    words = run("recording_stats").out
    assert oldest.call_sid in words
    assert "for good" in words
    assert run("recording_stats", "--business", "globex", "--json").report["statuses"]["queued"] == 1


def test_the_stats_tell_what_is_retried_what_was_given_up_and_which_accounts_are_in_trouble() -> None:
    globex, initech, fine = business("globex"), business("initech"), business("fine")
    recording(FAILED, globex), recording(FAILED, globex, next_retry_at=None)
    recording(FAILED, initech, reason=Reason.UNAUTHORISED, **FOR_GOOD)
    ProviderAccount.objects.filter(business=globex).update(paused_until=now(60))
    ProviderAccount.objects.filter(business=initech).update(broken_since=now(-60), broken_at=now())
    ProviderAccount.objects.filter(business=fine).update(paused_until=now(-60))
    report = run("recording_stats", "--json").report
    assert report["failed"] == {"will_be_retried": 1, "given_up": 2}
    columns = ("business", "reason", "count", "will_be_retried")
    reasons = [tuple(row[column] for column in columns) for row in report["business_reasons"]]
    assert reasons == [("globex", "stalled", 2, 1), ("initech", "unauthorised", 1, 0)]
    paused, refused = report["accounts"]
    assert (paused["business"], paused["refused_since"], refused["business"], refused["paused_until"]) == (
        "globex", None, "initech", None,
    )  # fmt: skip
    for moment in (paused["paused_until"], refused["refused_since"]):
        assert re.fullmatch(r"[0-9-]{10}T[0-9:.]+Z", moment)
    words = run("recording_stats").out
    assert "1 will be retried, 1 given up" in words
    assert f"initech (business={initech.pk}): refused by its provider since" in words


def test_the_stats_of_nothing_are_zeros() -> None:
    report = run("recording_stats", "--json").report
    assert (set(report["statuses"].values()), report["oldest_queued"], report["downloading"]) == ({0}, None, [])
    assert run("recording_stats").code == 0
