"""The graph itself, the constraints below it, and the witness that the other tests rely on."""

from itertools import product

import pytest
from django.db import IntegrityError, transaction

from calls.models import CallLog, RecordingStatus
from recordings import graph
from recordings.models import Recording
from recordings.reasons import Reason
from recordings.tests.rows import DOWNLOADING, FAILED, MISSING, QUEUED, READY, business, recording
from recordings.tests.transitions import LEGAL, Witness

PAIRS = list(product(RecordingStatus, RecordingStatus))


def test_the_moves_are_those_of_the_design() -> None:
    assert {
        (MISSING, QUEUED), (FAILED, QUEUED), (QUEUED, DOWNLOADING), (DOWNLOADING, READY), (DOWNLOADING, FAILED),
        (DOWNLOADING, QUEUED), (MISSING, READY), (FAILED, READY), (READY, MISSING), (FAILED, MISSING),
        (MISSING, FAILED), (READY, FAILED), (FAILED, FAILED),
    } == LEGAL  # fmt: skip


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_allowed_knows_the_moves_and_no_others(before: RecordingStatus, after: RecordingStatus) -> None:
    assert graph.allowed(before, after) is ((before, after) in LEGAL)


@pytest.mark.django_db
@pytest.mark.parametrize("verb", graph.MOVES)
@pytest.mark.parametrize("to", RecordingStatus)
def test_a_verb_can_not_be_given_a_target_that_is_not_its_own(verb: str, to: RecordingStatus) -> None:
    row = recording(graph.sources(verb)[0])
    if any(to in targets for targets in graph.MOVES[verb].values()):
        return
    with pytest.raises(ValueError, match=verb):
        Recording.objects.filter(pk=row.pk).move(verb, to)
    assert Recording.objects.get(pk=row.pk).recording_download_status == graph.sources(verb)[0]


@pytest.mark.django_db
def test_a_transition_guarded_through_a_join_or_a_slice_is_refused() -> None:
    recording(QUEUED)
    with pytest.raises(ValueError, match="join"):
        Recording.objects.filter(business__slug="acme").move("start", DOWNLOADING)
    with pytest.raises((ValueError, TypeError)):
        Recording.objects.all()[:1].move("start", DOWNLOADING)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_witness_names_every_write_that_is_no_move(
    witness: Witness, before: RecordingStatus, after: RecordingStatus
) -> None:
    row = recording(before)
    lease = {"recording_token": "b" * 32, "recording_lease_until": row.created_at}
    columns = lease if after == DOWNLOADING else {"recording_token": None}
    reason = Reason.DELETED if before == FAILED == after else Reason.STALLED
    file = f"{row.pk}/{row.recording_token}"
    CallLog.objects.filter(pk=row.pk).update(
        recording_download_status=after, recording_reason=reason, recording_file=file, **columns
    )
    assert witness.pairs() == [(before, after)]
    assert bool(witness.offences()) is ((before, after) not in LEGAL)
    witness.forget()


def test_the_witness_names_a_claim_without_a_new_token_and_a_lease_that_outlives_its_download(witness: Witness) -> None:
    token = "c" * 32
    claimed = CallLog.objects.filter(pk=recording(QUEUED, token=token, lease_until=None).pk)
    claimed.update(
        recording_download_status=DOWNLOADING, recording_token=token, recording_lease_until="2020-01-01T00:00Z"
    )
    claimed.update(recording_download_status=QUEUED)
    assert [offence.split(" ", 4)[-1] for offence in witness.offences()] == [
        "downloading without a new token", "queued keeps the token",
    ]  # fmt: skip
    witness.forget()


def test_the_witness_names_a_file_committed_under_the_lease_of_another_and_a_deleted_recording_that_comes_back(
    witness: Witness,
) -> None:
    stolen = recording(DOWNLOADING)
    CallLog.objects.filter(pk=stolen.pk).update(
        recording_download_status=READY, recording_token=None, recording_file=f"{stolen.pk}/{'d' * 32}"
    )
    deleted = recording(FAILED, reason=Reason.DELETED, permanent=True, next_retry_at=None)
    CallLog.objects.filter(pk=deleted.pk).update(recording_download_status=QUEUED, recording_reason="")
    back, foreign = witness.offences()
    assert "brings back what was deleted" in back
    assert "was committed under the lease of" in foreign
    witness.forget()


BROKEN = [
    ("a status nobody knows", MISSING, {"recording_download_status": "lost"}),
    ("downloading without a token", QUEUED, {"recording_download_status": DOWNLOADING}),
    ("downloading without the end of its lease", DOWNLOADING, {"recording_lease_until": None}),
    ("ready without a file", QUEUED, {"recording_download_status": READY}),
    ("ready and then without its file", READY, {"recording_file": ""}),
    ("queued without an address", QUEUED, {"recording_url": None}),
    ("a permanent failure with a retry", FAILED, {"recording_permanent": True}),
    ("no status at all", MISSING, {"recording_download_status": None}),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("status", "columns"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_the_database_refuses_what_can_not_be(status: RecordingStatus, columns: dict[str, object]) -> None:
    row = recording(status)
    with pytest.raises(IntegrityError), transaction.atomic():
        CallLog.objects.filter(pk=row.pk).update(**columns)


@pytest.mark.django_db
@pytest.mark.parametrize("status", RecordingStatus)
def test_an_operator_may_set_any_row_to_missing_by_hand(status: RecordingStatus) -> None:
    row = recording(status)
    assert CallLog.objects.filter(pk=row.pk).update(recording_download_status=MISSING) == 1


@pytest.mark.django_db
def test_one_call_sid_stands_once_in_a_business() -> None:
    row = recording()
    with pytest.raises(IntegrityError), transaction.atomic():
        CallLog.objects.create(business=row.business, call_sid=row.call_sid, started_at=row.started_at)
    CallLog.objects.create(business=business("globex"), call_sid=row.call_sid, started_at=row.started_at)
