"""The record of what was tried."""

import pytest
from django.db import IntegrityError, transaction

from calls.clock import now
from recordings.models import Attempt, Outcome
from recordings.tests.rows import DOWNLOADING, QUEUED, clock, recording

pytestmark = pytest.mark.django_db


def test_an_attempt_runs_from_the_databases_now() -> None:
    row = recording(DOWNLOADING)
    attempt = Attempt.objects.get()
    assert attempt.outcome == Outcome.RUNNING
    assert row.created_at <= attempt.started_at <= clock()
    assert str(attempt) == f"{row.pk}/{attempt.token[:8]} running"


def test_closing_ends_those_that_run_and_leaves_the_others_as_they_ended() -> None:
    recording(DOWNLOADING), recording(DOWNLOADING)
    first, second = Attempt.objects.order_by("pk")
    assert Attempt.objects.filter(pk=first.pk).close(Outcome.FAILED, reason="stalled") == 1
    assert Attempt.objects.all().close(Outcome.CRASHED) == 1
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.outcome, first.reason, second.outcome) == (Outcome.FAILED, "stalled", Outcome.CRASHED)


def test_an_attempt_is_fenced_off_when_its_token_is_no_longer_that_of_its_downloading_recording() -> None:
    holds = recording(DOWNLOADING)
    token, old = "1" * 32, "2" * 32
    given_back = recording(QUEUED, token=token)  # a token left over in a row that was set by hand
    Attempt.objects.create(recording=given_back, token=token)
    Attempt.objects.create(recording=holds, token=old)
    Attempt.objects.create(recording=holds, token="3" * 32, outcome=Outcome.FAILED, ended_at=now())
    assert set(Attempt.objects.fenced_off().values_list("token", flat=True)) == {token, old}


def test_one_token_serves_the_rows_of_a_batch_and_each_row_once() -> None:
    token = "4" * 32
    first, second = recording(), recording()
    Attempt.objects.create(recording=first, token=token)
    Attempt.objects.create(recording=second, token=token)
    with pytest.raises(IntegrityError), transaction.atomic():
        Attempt.objects.create(recording=first, token=token)


@pytest.mark.parametrize(("outcome", "ended"), [(Outcome.RUNNING, True), (Outcome.READY, False)])
def test_what_runs_has_no_end_and_what_ended_has_one(outcome: Outcome, ended: bool) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Attempt.objects.create(
            recording=recording(), token="5" * 32, outcome=outcome, ended_at=now() if ended else None
        )
