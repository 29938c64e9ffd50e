"""recordings/alarms/conditions.py: what each finds, and what it leaves alone."""

import os
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pytest_django import Settings

from calls.clock import now
from calls.models import PRIORITY_BULK, PRIORITY_CLICK
from recordings import bell
from recordings.alarms import conditions
from recordings.alarms.conditions import CONDITIONS
from recordings.alarms.record import AlarmName
from recordings.models import Attempt, Outcome, ProviderAccount, Recording
from recordings.reasons import Reason
from recordings.storage import Storage, default_storage
from recordings.tests.alarming import hook, look_after, well
from recordings.tests.listeners import Receiver
from recordings.tests.rows import QUEUED, READY, business, pass_time, recording

__all__ = ["hook", "well"]
pytestmark = pytest.mark.django_db


def found() -> dict[str, list[str] | None]:
    """The words of what is wrong now; None for what can't be told."""
    return {
        name.value: None if troubles is None else [trouble.words for trouble in troubles]
        for name, troubles in ((name, condition()) for name, condition in CONDITIONS.items())
        if troubles != []
    }


def attempts(outcome: Outcome, count: int, reason: str = "", slug: str = "acme", **facts: Any) -> None:
    """So many recordings of this business, each with an attempt that ended now."""
    ended = {"outcome": outcome, "reason": reason, "ended_at": now()} | facts
    Attempt.objects.bulk_create(
        [
            Attempt(recording=recording(READY, business(slug)), token=f"{outcome[:5]}{reason[:9]}{number}", **ended)
            for number in range(count)
        ]
    )


def test_there_is_a_condition_for_every_name_of_an_alarm() -> None:
    assert set(CONDITIONS) == set(AlarmName)


def test_a_service_that_is_well_has_no_trouble() -> None:
    attempts(Outcome.READY, 30)
    recording(QUEUED, priority=PRIORITY_CLICK)
    assert found() == {}


# --- accounts


def test_an_account_is_refused_until_a_success_or_until_it_is_changed() -> None:
    account = business("acme").provider_account
    ProviderAccount.objects.refused(account)
    account.refresh_from_db()
    [trouble] = conditions.refused_accounts()
    assert (trouble.business_id, trouble.since) == (account.business_id, account.broken_since)
    assert "--business acme" in trouble.do
    ProviderAccount.objects.accepted(account)
    assert conditions.refused_accounts() == []


# --- the storage


@pytest.mark.once
def test_a_disk_is_low_before_downloads_stop_and_says_so_when_they_have(settings: Settings) -> None:
    disk = os.statvfs(settings.RECORDINGS_ROOT)
    free = disk.f_bavail * disk.f_frsize
    for wanted, words in ((free // 4, None), (free * 3 // 4, "downloads stop."), (free * 2, "downloads have stopped.")):
        settings.RECORDINGS_MIN_FREE_BYTES = wanted
        troubles = conditions.storage_low()
        assert troubles is not None
        assert [trouble.words.endswith(words or "-") for trouble in troubles] == ([True] if words else [])


@pytest.mark.once
def test_a_storage_that_is_away_says_nothing_of_its_room(settings: Settings) -> None:
    shutil.rmtree(settings.RECORDINGS_ROOT)
    wrong = found()
    assert list(wrong) == ["storage_away", "storage_low", "storage_read_only"]
    assert (wrong["storage_low"], wrong["storage_read_only"]) == (None, None)
    assert wrong["storage_away"] is not None
    assert str(settings.RECORDINGS_ROOT) in wrong["storage_away"][0]


def test_what_can_not_be_told_now_stays_as_it_is(settings: Settings, hook: Receiver) -> None:
    settings.RECORDINGS_MIN_FREE_BYTES = 10**15
    look_after(0, 30)
    assert hook.told == [("storage_low", "raised")]
    kept = Path(f"{settings.RECORDINGS_ROOT}-away")
    Path(settings.RECORDINGS_ROOT).rename(kept)
    look_after(30, 30, 70)
    assert hook.told[1:] == [("storage_away", "raised")], "whether there is room again, nobody knows"
    settings.RECORDINGS_MIN_FREE_BYTES = 0
    kept.rename(settings.RECORDINGS_ROOT)
    look_after(30, 70)
    assert sorted(hook.told[2:]) == [("storage_away", "cleared"), ("storage_low", "cleared")]


@pytest.mark.once
def test_a_storage_that_can_not_be_written_to_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storage, "writable", lambda self: False)  # root may write wherever it likes
    assert list(found()) == ["storage_read_only"]


# --- the workers


@pytest.mark.once
def test_workers_are_silent_without_a_sign_of_life_and_when_they_write_elsewhere() -> None:
    sign = bell.sign_of_life()
    os.utime(sign, (time.time() - 40, time.time() - 40))
    assert found() == {
        "workers_silent": [
            "The workers are not well: gave no sign of life for 40 s. Nothing new is downloaded; what is ready plays."
        ]
    }
    sign.write_text("another storage")
    [trouble] = conditions.silent_workers()
    assert "write to another storage" in trouble.words
    sign.write_text(default_storage().marker())
    assert found() == {}


# --- failures


class Ended(NamedTuple):
    """How many attempts ended, and how."""

    outcome: Outcome
    number: int
    reason: str = ""
    slug: str = "acme"


FAILED, DONE, CRASHED = Outcome.FAILED, Outcome.READY, Outcome.CRASHED
MANY = [Ended(DONE, 70), Ended(FAILED, 20, Reason.PROVIDER_ERROR)]


@pytest.mark.parametrize("ended", [
    [Ended(FAILED, 19, Reason.PROVIDER_ERROR)],
    [Ended(DONE, 80), Ended(FAILED, 20, Reason.PROVIDER_ERROR)],
    [Ended(FAILED, 50, Reason.UNAUTHORISED)],
    [Ended(FAILED, 50, Reason.RATE_LIMITED)],
    [Ended(FAILED, 50, Reason.NOT_YET)],
    [Ended(FAILED, 50, Reason.NOT_AUDIO)],
    [Ended(Outcome.GIVEN_BACK, 50)],
], ids=["too few", "a fifth", "refused", "asked to wait", "not there yet", "for good", "given back"])  # fmt: skip
def test_these_failures_are_no_alarm(ended: list[Ended]) -> None:
    for each in ended:
        attempts(*each)
    assert found() == {}


@pytest.mark.parametrize("ended", [
    MANY,
    [Ended(FAILED, 12, Reason.STALLED), Ended(CRASHED, 8)],
    [Ended(DONE, 30, "", "large"), *MANY],
    [Ended(DONE, 10), Ended(FAILED, 11, Reason.CUT_SHORT), Ended(FAILED, 11, Reason.STORAGE_ERROR, "beta")],
], ids=["more than a fifth", "crashes count", "one small business", "spread over businesses"])  # fmt: skip
def test_these_failures_are_one_alarm(ended: list[Ended]) -> None:
    for each in ended:
        attempts(*each)
    assert {name: len(words or []) for name, words in found().items()} == {"failures_rising": 1}


def test_each_business_that_is_hit_has_an_alarm_with_its_counts_and_its_reason() -> None:
    attempts(DONE, 30, slug="large")
    for each in MANY:
        attempts(*each)
    attempts(FAILED, 5, Reason.STALLED, "few")
    attempts(FAILED, 22, Reason.STALLED, "beta")
    acme, beta = conditions.rising_failures()
    assert acme.words == (
        "Of 90 recordings of acme tried in the last 15 minutes 20 failed at least once, most of them as provider_error."
    )
    assert "--business acme --reason provider_error" in acme.do
    assert "of beta tried in the last 15 minutes 22" in beta.words
    assert [acme.business_id, beta.business_id] == [business("acme").pk, business("beta").pk]


def test_where_no_business_is_hit_alone_the_alarm_is_of_all() -> None:
    for slug in ("acme", "beta"):
        attempts(DONE, 30, slug=slug)
        attempts(FAILED, 15, Reason.STALLED, slug)
    [trouble] = conditions.rising_failures()
    assert trouble.business_id is None
    assert trouble.words == (
        "Of 90 recordings tried in the last 15 minutes 30 failed at least once, most of them as stalled."
    )


def test_one_recording_that_can_not_be_had_is_one_failure_however_often_it_is_tried() -> None:
    row = recording(READY, business())
    facts = {"outcome": FAILED, "reason": Reason.CUT_SHORT, "ended_at": now()}
    Attempt.objects.bulk_create([Attempt(recording=row, token=str(number), **facts) for number in range(50)])
    assert found() == {}


def test_failures_are_forgotten_after_a_quarter_of_an_hour() -> None:
    attempts(FAILED, 30, Reason.PROVIDER_ERROR)
    pass_time(890)
    assert list(found()) == ["failures_rising"]
    pass_time(20)
    assert found() == {}


# --- clicks


def test_a_click_that_waits_for_over_a_minute_is_an_alarm_and_a_backfill_is_not() -> None:
    recording(QUEUED, priority=PRIORITY_BULK, last_enqueue_at=now(-3600))
    recording(QUEUED, priority=PRIORITY_CLICK, last_enqueue_at=now(-50))
    assert found() == {}
    pass_time(20)
    assert found() == {"clicks_waiting": ["1 recording that somebody clicked has been waiting for more than a minute."]}


def test_a_click_that_waits_because_the_provider_asked_for_it_is_no_alarm() -> None:
    row = recording(QUEUED, priority=PRIORITY_CLICK, last_enqueue_at=now(-100))
    ProviderAccount.objects.pause(row.business.provider_account, 300)
    assert found() == {}
    assert Recording.objects.waiting().count() == 0


def test_a_click_that_waits_for_its_own_accounts_cap_is_no_alarm() -> None:
    busy = recording(QUEUED, priority=PRIORITY_CLICK)
    Recording.objects.filter(pk=busy.pk).start(1, worker="w")
    recording(QUEUED, priority=PRIORITY_CLICK, last_enqueue_at=now(-100))
    assert list(found()) == ["clicks_waiting"]
    ProviderAccount.objects.update(most_at_once=1)
    assert found() == {}
