"""The verbs, column by column: each does what docs/lifecycle.md says, from where it may, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from calls.clock import now
from calls.models import PRIORITY_BULK, PRIORITY_CLICK, CallLog, RecordingStatus
from recordings import graph, lifecycle
from recordings.announcement import announce
from recordings.lifecycle import Answer, Ask
from recordings.models import Recording
from recordings.reasons import Reason
from recordings.results import Begun, Failed, Held
from recordings.tests import rows
from recordings.tests.rows import AUDIO, DOWNLOADING, FAILED, MISSING, QUEUED, READY, recording, world
from recordings.tests.transitions import Witness

NOBODYS: Held = (0, "f" * 32)


@dataclass(frozen=True)
class In:
    """The statement's time plus so many seconds."""

    seconds: float


def lease(row: CallLog) -> Held:
    """The lease that a worker believes it has: the row's, or one from long ago."""
    return row.pk, row.recording_token or NOBODYS[1]


Act = Callable[[CallLog], Any]


def adopt(row: CallLog) -> object:
    """An attempt adopts under its lease; reconcile adopts what nobody downloads."""
    if row.recording_download_status == DOWNLOADING:
        return Recording.objects.finish([rows.finished(lease(row), adopted=True)])
    return Recording.objects.adopt(row, rows.whole(row.pk))


VERBS: dict[str, Act] = {
    "queue": lambda row: Recording.objects.filter(pk=row.pk).queue(Ask.FORCE, PRIORITY_CLICK),
    "retry_due": lambda row: Recording.objects.filter(pk=row.pk).retry_due(),
    "start": lambda row: Recording.objects.filter(pk=row.pk).start(1, worker="w"),
    "finish": lambda row: Recording.objects.finish([rows.finished(lease(row))]),
    "fail": lambda row: Recording.objects.fail([Failed(lease(row), Reason.STALLED, permanent=False)]),
    "give_back": lambda row: Recording.objects.give_back([lease(row)]),
    "release": lambda row: Recording.objects.release(dead=[lease(row)]),
    "adopt": adopt,
    "lose": Recording.objects.lose,
    "readdress": lambda row: Recording.objects.filter(pk=row.pk).readdress(),
    "delete": lambda row: Recording.objects.filter(pk=row.pk).delete_audio(),
}
"""Each verb at its most willing."""

WILLING: dict[RecordingStatus, dict[str, Any]] = {FAILED: {"next_retry_at": now(-1)}}
"""Columns that let every verb through that may leave the status."""


def test_every_verb_of_the_graph_is_tried() -> None:
    assert set(VERBS) == set(graph.MOVES)


@pytest.mark.parametrize("status", RecordingStatus)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_moves_what_the_graph_lets_it_and_touches_nothing_else(
    witness: Witness, verb: str, status: RecordingStatus
) -> None:
    row, other = recording(status, **WILLING.get(status, {})), recording(status, **WILLING.get(status, {}))
    before = world()
    VERBS[verb](row)
    after = world()
    targets = graph.MOVES[verb].get(status, frozenset())
    if targets:
        assert after.status(row.pk) in targets
    else:
        assert after == before
    assert after.rows[other.pk] == before.rows[other.pk]
    assert after.bells - before.bells == (1 if after.status(row.pk) == QUEUED != status else 0)


@pytest.mark.parametrize("status", RecordingStatus)
@pytest.mark.parametrize("verb", ["finish", "fail", "give_back", "release"])
def test_a_stale_token_changes_nothing(witness: Witness, verb: str, status: RecordingStatus) -> None:
    row = recording(status, **WILLING.get(status, {}))
    CallLog.objects.filter(pk=row.pk).exclude(recording_download_status=DOWNLOADING).update(recording_token="e" * 32)
    stale = CallLog(pk=row.pk, recording_token="d" * 32)
    before = world()
    VERBS[verb](stale)
    assert Recording.objects.beat([lease(stale)]) == set()
    assert not announce([Begun(lease(stale), 5, "audio/wav", 1)])
    assert world() == before


@pytest.mark.django_db
@pytest.mark.parametrize("status", RecordingStatus)
@pytest.mark.parametrize("verb", ["queue", "start", "retry_due", "release", "readdress", "delete"])
def test_a_call_without_an_address_has_no_life(verb: str, status: RecordingStatus) -> None:
    if status not in {MISSING, FAILED}:  # the others are refused by the database
        return
    row = recording(status, url=None, **WILLING.get(status, {}))
    before = world()
    VERBS[verb](row)
    assert world() == before


# --- what each verb sets --------------------------------------------------------------------------------------------


NO_LEASE = {"token": None, "lease_until": None, "started_at": None}
NO_FILE = {
    "file": "", "bytes": None, "bytes_total": None, "sha256": "", "content_type": "", "duration": None,
    "ready_at": None,
}  # fmt: skip
NO_FAILURE = {"reason": "", "permanent": False, "next_retry_at": None}
NO_COUNTS = {"fail_count": 0, "crash_count": 0}
WORN = {"fail_count": 2, "crash_count": 3}
FAILED_ONCE_MORE = {"download_status": FAILED, "fail_count": 3, "crash_count": 0, "next_retry_at": In(30)} | NO_LEASE
BROKEN = {"reason": Reason.GONE, "permanent": True, "next_retry_at": None}


def fail(permanent: bool = False, retry_after: float | None = None) -> Act:
    reason = Reason.GONE if permanent else Reason.RATE_LIMITED
    return lambda row: Recording.objects.fail([Failed(lease(row), reason, permanent, retry_after=retry_after)])


def queue(ask: Ask, priority: int = PRIORITY_BULK) -> Act:
    return lambda row: Recording.objects.filter(pk=row.pk).queue(ask, priority)


EFFECTS: dict[str, tuple[RecordingStatus, dict[str, Any], Act, dict[str, Any]]] = {
    "play of what is missing": (MISSING, WORN, queue(Ask.PLAY, 1), {
        "download_status": QUEUED, "last_enqueue_at": In(0), "priority": 1,
    }),
    "play of what may be retried": (FAILED, WORN | {"next_retry_at": now(-1)}, queue(Ask.PLAY, 1), {
        "download_status": QUEUED, "last_enqueue_at": In(0), "priority": 1,
    } | NO_FAILURE),
    "a person's asking for what backs off": (FAILED, WORN, queue(Ask.PERSON, 1), {
        "download_status": QUEUED, "last_enqueue_at": In(0), "priority": 1,
    } | NO_FAILURE | NO_COUNTS),
    "a manager's asking for what failed for good": (FAILED, WORN | BROKEN, queue(Ask.FORCE, 1), {
        "download_status": QUEUED, "last_enqueue_at": In(0), "priority": 1,
    } | NO_FAILURE | NO_COUNTS),
    "bulk work": (MISSING, WORN | {"priority": 1}, queue(Ask.PERSON), {
        "download_status": QUEUED, "last_enqueue_at": In(0), "priority": 0,
    } | NO_COUNTS),
    "promote": (QUEUED, WORN, lambda row: Recording.objects.filter(pk=row.pk).promote(), {"priority": 1}),
    "retry due": (FAILED, WORN | {"next_retry_at": now(-1), "priority": 1}, VERBS["retry_due"], {
        "download_status": QUEUED, "last_enqueue_at": In(0),
    } | NO_FAILURE),
    "start": (QUEUED, WORN | {"bytes_total": 7, "content_type": "audio/ogg"}, VERBS["start"], {
        "download_status": DOWNLOADING, "token": any, "lease_until": In(30), "started_at": In(0),
        "bytes_total": None, "content_type": "",
    }),
    "beat": (DOWNLOADING, WORN | {"lease_until": now(3)}, lambda row: Recording.objects.beat([lease(row)]), {
        "lease_until": In(30), "updated_at": None,
    }),
    "announce": (DOWNLOADING, WORN, lambda row: announce(
        [Begun(lease(row), 12, "audio/mpeg", 8, "v")]), {
        "bytes_total": 12, "content_type": "audio/mpeg", "version": 8, "updated_at": None,
    }),
    "finish": (DOWNLOADING, WORN | {"priority": 1}, VERBS["finish"], {
        "download_status": READY, "file": any, "ready_at": In(0), "priority": 0,
    } | AUDIO | NO_COUNTS | NO_LEASE),
    "fail for now": (DOWNLOADING, WORN | AUDIO, fail(), FAILED_ONCE_MORE | NO_FILE | {"reason": Reason.RATE_LIMITED}),
    "fail for now when asked to wait longer": (DOWNLOADING, WORN, fail(retry_after=77),
        FAILED_ONCE_MORE | {"reason": Reason.RATE_LIMITED, "next_retry_at": In(77)}),
    "fail for good": (DOWNLOADING, WORN, fail(permanent=True), FAILED_ONCE_MORE | BROKEN),
    "fail the last time": (DOWNLOADING, {"fail_count": 4}, fail(), FAILED_ONCE_MORE | {
        "fail_count": 5, "reason": Reason.RATE_LIMITED, "next_retry_at": None}),
    "give back": (DOWNLOADING, WORN, VERBS["give_back"], {"download_status": QUEUED} | NO_LEASE),
    "release": (DOWNLOADING, WORN, VERBS["release"], {"download_status": QUEUED, "crash_count": 4} | NO_LEASE),
    "release the fifth time": (DOWNLOADING, WORN | AUDIO | {"crash_count": 4, "permanent": True}, VERBS["release"],
        FAILED_ONCE_MORE | NO_FILE | {"reason": Reason.WORKER_CRASHED, "permanent": False}),
    "adopt what is missing": (MISSING, WORN, VERBS["adopt"], {
        "download_status": READY, "file": any, "ready_at": In(0)} | AUDIO | NO_COUNTS),
    "adopt what failed for good": (FAILED, WORN | BROKEN, VERBS["adopt"], {
        "download_status": READY, "file": any, "ready_at": In(0)} | AUDIO | NO_COUNTS | NO_FAILURE),
    "lose": (READY, {}, VERBS["lose"], {"download_status": MISSING, "last_enqueue_at": None} | NO_FILE),
    "lose at once": (READY, {"ready_at": now(-59)}, VERBS["lose"], {
        "download_status": MISSING, "last_enqueue_at": In(0)} | NO_FILE),
    "readdress": (FAILED, WORN | BROKEN, VERBS["readdress"], {
        "download_status": MISSING, "last_enqueue_at": None} | NO_FAILURE | NO_COUNTS),
    "delete what is ready": (READY, {}, VERBS["delete"], {
        "download_status": FAILED, "reason": Reason.DELETED, "permanent": True} | NO_FILE),
    "delete what backs off": (FAILED, {}, VERBS["delete"], {
        "download_status": FAILED, "reason": Reason.DELETED, "permanent": True, "next_retry_at": None}),
    "delete what is missing": (MISSING, {}, VERBS["delete"], {
        "download_status": FAILED, "reason": Reason.DELETED, "permanent": True}),
}  # fmt: skip


@pytest.mark.parametrize(("status", "columns", "act", "expected"), EFFECTS.values(), ids=EFFECTS)
def test_a_verb_sets_its_columns_and_no_other(
    witness: Witness, status: RecordingStatus, columns: dict[str, Any], act: Act, expected: dict[str, Any]
) -> None:
    row = recording(status, **columns)
    before, began = rows.columns_of(row), rows.clock()
    act(row)
    after, ended = rows.columns_of(row), rows.clock()
    wanted = {"updated_at": In(0)} | {
        f"recording_{name}": value for name, value in expected.items() if name != "updated_at"
    }
    if "updated_at" in expected:
        del wanted["updated_at"]
    for name, value in after.items():
        want = wanted.get(name, before[name])
        if isinstance(want, In):
            assert began <= value - timedelta(seconds=want.seconds) <= ended, name
        elif want is any:
            assert value, name
            assert value != before[name], name
        else:
            assert value == want, name


# --- lose, adopt, readdress, delete: what was read must still be so -------------------------------------------------


@pytest.mark.django_db
def test_another_file_than_the_one_that_could_not_be_opened_is_not_lost() -> None:
    row = recording(READY)
    CallLog.objects.filter(pk=row.pk).update(recording_file=f"{row.pk}/{'a' * 32}")
    assert Recording.objects.lose(row) == 0
    assert rows.read(row).recording_download_status == READY


@pytest.mark.django_db
def test_a_loss_is_that_of_its_own_recording_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    row, twin = recording(READY), recording(READY)
    CallLog.objects.filter(pk=twin.pk).update(recording_file=row.recording_file)
    assert [Recording.objects.lose(row), Recording.objects.lose(row)] == [1, 0]
    assert rows.read(twin).recording_download_status == READY
    (said,) = [vars(record) for record in caplog.records]
    assert (said["message"], said["action"]) == ("Recording file lost", "lose")
    assert (said["call_sid"], said["business"]) == (row.call_sid, row.business_id)


@pytest.mark.django_db
def test_what_is_being_downloaded_is_adopted_by_its_own_attempt_only() -> None:
    row = recording(DOWNLOADING)
    before = world()
    assert Recording.objects.adopt(row, rows.whole(row.pk)) == 0
    assert world() == before


@pytest.mark.django_db
@pytest.mark.parametrize("change", [
    {"recording_url": "https://voice.example.com/other.wav"}, {"recording_download_status": QUEUED},
    {"recording_reason": Reason.DELETED, "recording_download_status": FAILED},
])  # fmt: skip
def test_a_file_is_not_adopted_for_a_row_that_has_changed_since_it_was_read(change: dict[str, Any]) -> None:
    row = recording(MISSING)
    CallLog.objects.filter(pk=row.pk).update(**change)
    before = world()
    assert Recording.objects.adopt(row, rows.whole(row.pk)) == 0
    assert world() == before


@pytest.mark.django_db
def test_a_file_is_adopted_for_its_own_recording_and_not_for_another_of_the_same_address() -> None:
    row, twin = recording(MISSING), recording(MISSING)
    CallLog.objects.filter(pk=twin.pk).update(recording_url=row.recording_url)
    assert Recording.objects.adopt(row, rows.whole(row.pk)) == 1
    assert [rows.read(each).recording_download_status for each in (row, twin)] == [READY, MISSING]


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["queue", "adopt", "delete"])
def test_a_lease_that_was_left_behind_goes_with_the_next_move(verb: str) -> None:
    row = recording(MISSING, token="e" * 32, lease_until=now(30), started_at=now())
    VERBS[verb](row)
    after = rows.read(row)
    assert (after.recording_token, after.recording_lease_until, after.recording_started_at) == (None, None, None)


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["queue", "retry_due", "adopt", "readdress"])
def test_what_was_deleted_stays_deleted(verb: str) -> None:
    row = recording(FAILED, reason=Reason.DELETED, permanent=True, next_retry_at=None)
    before = world()
    VERBS[verb](row)
    assert world() == before


@pytest.mark.django_db
def test_a_verb_for_a_row_of_another_business_does_nothing() -> None:
    row = recording(MISSING)
    row.business = rows.business("globex")
    assert Recording.objects.adopt(row, rows.whole(row.pk)) == 0
    ready = recording(READY)
    ready.business = row.business
    assert Recording.objects.lose(ready) == 0
    assert Recording.objects.filter(pk=row.pk, business_id=row.business_id).queue(Ask.PLAY) == 0
    assert Recording.objects.ask(row, Ask.PLAY) != Answer.ENQUEUED


@pytest.mark.django_db
def test_of_very_many_whose_time_has_come_those_are_queued_first_that_have_been_due_for_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifecycle, "AT_ONCE", 1)
    short, long = recording(FAILED, next_retry_at=now(-1)), recording(FAILED, next_retry_at=now(-9))
    assert Recording.objects.retry_due() == 1
    assert [rows.read(row).recording_download_status for row in (short, long)] == [FAILED, QUEUED]
    assert Recording.objects.retry_due() == 1
    assert rows.read(short).recording_download_status == QUEUED
