"""The drain's loop where little goes well: the database away, the lease over, its time over. Attempts are stand-ins."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection

from calls.models import CallLog
from calls.tests.factories import make_account, make_business, make_recording
from demo.service import wait_until
from recordings import bell
from recordings.attempts import Attempt, Outcome
from recordings.download import attempt, marks, stopping, worker
from recordings.download.attempt import Job
from recordings.download.crew import Crew
from recordings.download.places import Lock, closing
from recordings.download.providers.http import Stopped
from recordings.models import ProviderAccount, Recording
from recordings.reasons import Reason
from recordings.results import Failed, Finished
from recordings.storage import default_storage

pytestmark = pytest.mark.django_db(transaction=True)


class Stand:
    """Runs in place of an attempt: waits until it is let go or stopped, then fails for now."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.go = threading.Event()
        self.stopped: list[Job] = []

    def __call__(self, job: Job, client: Any, storage: Any, tell: Any) -> Finished | Failed | None:
        self.jobs.append(job)
        while not self.go.wait(0.01):
            try:
                job.transfer.check()
            except Stopped:
                self.stopped.append(job)
                return None
        return Failed(job.held, Reason.PROVIDER_ERROR, permanent=False, url=job.url)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Iterator[Stand]:
    settings.RUN_DIR, settings.RECORDINGS_ROOT = tmp_path / "run", tmp_path / "recordings"
    settings.RECORDINGS_MIN_FREE_BYTES, settings.RECORDINGS_SLOTS = 0, 4
    default_storage().prepare()
    standing = Stand()
    monkeypatch.setattr("recordings.download.crew.run", standing)
    yield standing
    standing.go.set()
    stopping.forget()


def queued(count: int = 3) -> list[Recording]:
    business = make_business()
    make_account(business)
    return [make_recording(business, "queued") for _ in range(count)]


def drained(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.02)
    return worker.drain(worker.new_crew())


def is_free(name: str) -> bool:
    with Lock(name) as lock:
        return lock.take()


def statuses() -> set[str]:
    return set(CallLog.objects.values_list("recording_download_status", flat=True))


def test_a_download_whose_lease_can_not_be_renewed_stops_itself(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    queued()
    monkeypatch.setattr(worker, "STOP_AFTER", 0.1)
    monkeypatch.setattr(worker, "BEAT_EVERY", 60)
    # Given back, each is claimed again; the third time round the stop comes.
    threading.Timer(1.0, stopping.tell).start()
    drained(monkeypatch)
    assert len(stand.stopped) >= 3
    assert statuses() == {"queued"}


def test_while_the_database_is_away_nothing_is_read_past_the_lease_and_it_is_said_once(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queued()
    monkeypatch.setattr(worker, "STOP_AFTER", 0.3)
    monkeypatch.setattr(worker, "BEAT_EVERY", 0.05)

    def away(*arguments: Any) -> set[Any]:
        raise OperationalError("away")

    monkeypatch.setattr("recordings.leases.LeaseQuerySet.beat", away)
    drained(monkeypatch)
    deadline = time.monotonic() + 5
    while len(stand.stopped) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(stand.stopped) == 3, "forgotten, and still reading"
    assert [record.message for record in caplog.records].count("Database away while downloading") == 1
    assert statuses() <= {"downloading", "queued"}, "released by the sweep, or given back: nothing failed"


def test_results_wait_while_the_database_is_away_and_are_written_when_it_is_back(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued()
    stand.go.set()
    fail, calls = Recording.objects.get_queryset().__class__.fail, iter([1, 2])

    def away_twice(self: Any, results: Any) -> Any:
        if next(calls, None):
            raise OperationalError("away")
        return fail(self, results)

    monkeypatch.setattr("recordings.leases.LeaseQuerySet.fail", away_twice)
    assert drained(monkeypatch) == 3
    assert statuses() == {"failed"}


def test_a_database_that_goes_away_while_the_account_is_told_leaves_no_job_behind(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued()

    def limited(job: Job, *arguments: Any) -> Failed:
        return Failed(job.held, Reason.RATE_LIMITED, permanent=False, url=job.url, retry_after=1)

    def away(*arguments: Any) -> int:
        raise OperationalError("away")

    monkeypatch.setattr("recordings.download.crew.run", limited)
    monkeypatch.setattr("recordings.accounts.ProviderAccountQuerySet.pause", away)
    assert drained(monkeypatch) == 3  # it ends
    assert statuses() == {"failed"}


def test_when_its_time_is_over_it_claims_no_more_rings_and_ends(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = queued(2)
    CallLog.objects.filter(pk=second.pk).update(recording_download_status="missing")
    monkeypatch.setattr(worker, "CLAIM_FOR", 0.2)

    def more() -> None:
        from django.db import connection

        deadline = time.monotonic() + 5
        while is_free("drain-closing") and time.monotonic() < deadline:
            time.sleep(0.01)
        CallLog.objects.filter(pk=second.pk).update(recording_download_status="queued")
        bell.wake()
        time.sleep(0.2)  # a drain that still claimed would have it by now
        stand.go.set()
        connection.close()

    thread = threading.Thread(target=more)
    thread.start()
    drained(monkeypatch)
    thread.join()
    assert [job.held[0] for job in stand.jobs] == [first.pk]
    assert bell.is_rung(), "nobody is told of what waits"


def test_while_another_drain_closes_it_goes_on_claiming(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(6)
    stand.go.set()
    monkeypatch.setattr(worker, "CLAIM_FOR", 0.0)
    with closing() as others:
        assert others.take()
        assert drained(monkeypatch) == 6


def test_what_came_after_its_last_look_is_rung_for(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(1)
    monkeypatch.setattr("recordings.leases.LeaseQuerySet.start", lambda *args, **kwargs: [])
    drained(monkeypatch)
    assert bell.is_rung()


def test_a_file_is_not_named_by_an_attempt_whose_lease_was_lost_while_it_was_decoded(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = queued(1)
    monkeypatch.setattr("recordings.download.crew.run", attempt.run)

    def slow_decoding(path: Path) -> Any:
        running[-1].transfer.abort(None)

    running: list[Job] = []
    submit = Crew.submit

    def submitted(self: Crew, job: Job) -> None:
        running.append(job)
        submit(self, job)

    monkeypatch.setattr(Crew, "submit", submitted)
    monkeypatch.setattr("recordings.download.audio.inspect", slow_decoding)
    monkeypatch.setattr("recordings.download.attempt._received", lambda job, *rest: default_storage().begin(*job.held))
    threading.Timer(0.5, stopping.tell).start()
    drained(monkeypatch)
    assert default_storage().files_of(row.pk) == []
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {Outcome.GIVEN_BACK}


def test_an_address_that_was_imported_during_the_download_is_not_condemned_by_the_old_ones_failure(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = queued(1)

    def gone(job: Job, *arguments: Any) -> Failed:
        CallLog.objects.filter(pk=row.pk).update(recording_url="https://example.com/new")
        return Failed(job.held, Reason.GONE, permanent=True, url=job.url)

    monkeypatch.setattr("recordings.download.crew.run", lambda job, *rest: results[job.held])
    results: dict[Any, Any] = {}
    submit = Crew.submit

    def submitted(self: Crew, job: Job) -> None:
        results[job.held] = gone(job, None, None)
        submit(self, job)

    monkeypatch.setattr(Crew, "submit", submitted)
    drained(monkeypatch)
    row.refresh_from_db()
    assert (row.recording_download_status, row.recording_reason, row.recording_permanent) == ("missing", "", False)
    assert Attempt.objects.get().reason == "gone"


def test_an_answer_to_old_credentials_does_not_mark_the_corrected_account() -> None:
    account = make_account(make_business(), auth="bearer", secret="old")
    as_read = ProviderAccount.objects.get()
    ProviderAccount.objects.filter(pk=account.pk).update(secret="new")
    assert ProviderAccount.objects.refused(as_read) == 0
    assert ProviderAccount.objects.refused(ProviderAccount.objects.get()) == 1


def test_a_shorter_wait_does_not_cut_a_longer_one_short() -> None:
    account = make_account(make_business())
    assert ProviderAccount.objects.pause(account, 600) == 1
    longer = ProviderAccount.objects.get().paused_until
    assert ProviderAccount.objects.pause(account, 5) == 0
    assert ProviderAccount.objects.get().paused_until == longer


@pytest.mark.parametrize(("reason", "words"), [
    (Reason.UNAUTHORISED, "Provider refuses this business's credentials"),
    (Reason.RATE_LIMITED, "Provider asks to slow down; this business's queue waits"),
])  # fmt: skip
def test_an_operator_hears_once_of_an_account_that_is_refused_or_paused(
    reason: Reason, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    account = make_account(make_business())
    failed = Failed((1, "0" * 32), reason, permanent=False, http_status=400, retry_after=60)
    seen = marks.Marks()
    for _ in range(3):
        seen.failed(ProviderAccount.objects.with_refusal().get(), failed)
    told = [(record.levelname, record.getMessage(), record.business) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [("WARNING", words, account.business_id)]
    ProviderAccount.objects.update(paused_until=None, broken_since=None)
    seen.failed(ProviderAccount.objects.with_refusal().get(), failed)
    assert len(caplog.records) == 2, "and again when it was well in between"


# --- staying awake


class Lingering:
    """A drain in a thread of its own, and how many of its attempts have ended."""

    def __init__(self, stand: Stand, monkeypatch: pytest.MonkeyPatch, linger: float) -> None:
        monkeypatch.setattr(worker, "LOOK_EVERY", 0.02)
        stand.go.set()
        self.thread = threading.Thread(target=self._drain, args=(linger,))
        self.thread.start()

    def _drain(self, linger: float) -> None:
        try:
            self.ended = worker.drain(worker.new_crew(), linger=linger)
        finally:
            connection.close()

    def end(self) -> int:
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.ended


def test_a_drain_stays_for_the_next_play_and_ends_when_the_cluster_stops(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(1)
    staying = Lingering(stand, monkeypatch, linger=3600)
    wait_until(lambda: statuses() == {"failed"}, 10, "the first has ended")
    assert not is_free("drain-0")
    CallLog.objects.update(recording_download_status="queued", recording_next_retry_at=None)
    wait_until(lambda: len(stand.jobs) == 2, 10, "the second is taken by the same drain")
    stopping.tell()
    assert staying.end() == 2


def test_a_drain_leaves_when_nothing_has_come_for_a_while(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(1)
    assert Lingering(stand, monkeypatch, linger=0.05).end() == 1
    assert is_free("drain-0")


def test_a_drain_whose_time_is_over_does_not_stay(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(1)
    monkeypatch.setattr(worker, "CLAIM_FOR", 0.2)
    assert Lingering(stand, monkeypatch, linger=3600).end() == 1
    assert not bell.is_rung(), "there was nothing to ring for"


def test_only_the_drain_in_the_first_place_stays(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(1)
    with Lock("drain-0") as taken:
        taken.take()
        assert Lingering(stand, monkeypatch, linger=3600).end() == 1
