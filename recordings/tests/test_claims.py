"""What a claim takes and what it leaves; the rest of a claim is in test_leases.py."""

from collections.abc import Sequence

import pytest
from pytest_django import Settings

from calls.clock import now
from calls.models import CallLog
from recordings.claims import ClaimQuerySet
from recordings.models import Attempt, ProviderAccount, Recording
from recordings.tests import rows
from recordings.tests.rows import DOWNLOADING, MISSING, QUEUED, business, recording

pytestmark = pytest.mark.django_db


def waiting() -> set[int]:
    return set(Recording.objects.waiting().values_list("pk", flat=True))


def test_what_a_paused_account_holds_back_does_not_wait_and_all_else_that_is_queued_does() -> None:
    held_back, other = recording(QUEUED), recording(QUEUED, business("globex"))
    recording(MISSING, business("globex"))
    ProviderAccount.objects.filter(business=held_back.business).update(paused_until=now(10))
    assert waiting() == {other.pk}
    rows.pass_time(10)
    assert waiting() == {held_back.pk, other.pk}


def test_a_pause_longer_than_any_that_is_granted_holds_nothing_back(settings: Settings) -> None:
    row = recording(QUEUED)
    settings.RECORDINGS_MAX_RETRY_AFTER = 60
    ProviderAccount.objects.update(paused_until=now(50))
    assert waiting() == set()
    ProviderAccount.objects.update(paused_until=now(70))  # by a clock that was wrong
    assert waiting() == {row.pk}


def test_what_another_took_between_the_choice_and_the_claim_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """No database that locks what it chooses lets that happen; the guard of the UPDATE does not rely on it."""
    first, theirs, last = (recording(QUEUED) for _ in range(3))
    choose = ClaimQuerySet._chosen

    def chosen_and_lost(self: ClaimQuerySet, limit: int, priorities: Sequence[int]) -> list[CallLog]:
        chosen = choose(self, limit, priorities)
        lease = {"recording_token": "e" * 32, "recording_lease_until": now(30), "recording_started_at": now()}
        CallLog.objects.filter(pk=theirs.pk).update(recording_download_status=DOWNLOADING, **lease)
        return chosen

    monkeypatch.setattr(ClaimQuerySet, "_chosen", chosen_and_lost)
    mine = Recording.objects.start(3, worker="w")
    assert [row.pk for row in mine] == [first.pk, last.pk]
    assert {row.recording_token for row in mine} == {rows.read(row).recording_token for row in (first, last)}
    assert rows.read(theirs).recording_token == "e" * 32
    assert set(Attempt.objects.values_list("recording_id", flat=True)) == {first.pk, last.pk}
