"""The background makes way for clicks: its results are written together, and it does not begin all at once."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from calls.models import PRIORITY_BULK, PRIORITY_CLICK
from demo.provider import Provider
from recordings.download import settling, worker
from recordings.download.attempt import Job, run
from recordings.download.claiming import claim
from recordings.download.crew import Crew, Result
from recordings.download.providers.http import Client, Transfer
from recordings.download.settling import GATHER, Settling
from recordings.leases import LeaseQuerySet
from recordings.reasons import Reason
from recordings.results import Failed, Finished, Held
from recordings.storage import default_storage
from recordings.tests.downloads import business_of, provider_and_storage, waiting

SLOTS = 8


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with provider_and_storage(tmp_path, RECORDINGS_SLOTS=SLOTS) as provider:
        yield provider
    sys.setswitchinterval(worker.SWITCH_EVERY)


def result(*, click: bool = False) -> Result:
    held = (1, "0" * 32)
    job = Job(held, "CA1", 1, "https://example.com/1", None, None, None, Transfer(60, 100), click=click)
    return job, Failed(held, Reason.STALLED, permanent=False)


def settled_by() -> Settling:
    return Settling(lambda job: None)


# --- results are gathered


def test_without_results_nothing_is_due() -> None:
    assert settled_by().due_in(5) == float("inf")


def test_a_result_of_the_background_waits_for_others_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    results, moment = settled_by(), [100.0]
    monkeypatch.setattr(settling, "monotonic", lambda: moment[0])
    results.take([result()])
    moment[0] += GATHER / 2
    results.take([result()])
    assert results.due_in(50) == pytest.approx(GATHER / 2), "counted from the first"
    moment[0] += GATHER
    assert results.due_in(50) == 0


@pytest.mark.parametrize(
    ("results", "under_way"),
    [([result(), result(click=True)], 50), ([result()] * (SLOTS // 4), 50), ([result()], 1)],
    ids=["a click's among them", "a quarter of the slots", "no other can come"],
)
def test_they_are_due_at_once(results: list[Result], under_way: int, settings: Any) -> None:
    settings.RECORDINGS_SLOTS = SLOTS
    mine = settled_by()
    mine.take(results)
    assert mine.due_in(under_way) == 0


@pytest.mark.django_db(transaction=True)
def test_what_ends_within_a_moment_is_written_in_one_transaction(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.RECORDINGS_SLOTS = 40  # a quarter is more than there are
    business = business_of(provider)
    batches: list[int] = []
    for number in range(6):
        waiting(business, provider, f"short-{number}")
    finish = LeaseQuerySet.finish

    def counted(self: Any, some: list[Finished]) -> set[Held]:
        batches.append(len(some))
        return finish(self, some)

    monkeypatch.setattr("recordings.leases.LeaseQuerySet.finish", counted)
    assert worker.drain(worker.new_crew()) == 6
    assert sum(batches) == 6
    assert len(batches) <= 2, batches


# --- what was claimed together


def submitted(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs of one drain over what waits, in the order in which its crew got them."""
    jobs: list[Job] = []
    submit = Crew.submit

    def kept(self: Crew, job: Job) -> None:
        jobs.append(job)
        submit(self, job)

    monkeypatch.setattr(Crew, "submit", kept)
    worker.drain(worker.new_crew())
    return jobs


@pytest.mark.django_db(transaction=True)
def test_while_people_click_the_background_begins_spread_out_and_threads_switch_soon(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    business = business_of(provider)
    for number, priority in enumerate([PRIORITY_BULK] * 4 + [PRIORITY_CLICK]):
        waiting(business, provider, f"short-{number}", recording_priority=priority)
    click, *background = submitted(monkeypatch)
    assert (click.click, click.begin_after) == (True, 0)
    waits = [job.begin_after for job in background]
    assert waits == sorted(set(waits)), "one after the other"
    assert 0 < waits[0] < waits[-1] < GATHER
    assert sys.getswitchinterval() == pytest.approx(worker.SWITCH_SOON)


@pytest.mark.django_db(transaction=True)
def test_while_nobody_clicks_the_background_begins_at_once(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    business = business_of(provider)
    for number in range(4):
        waiting(business, provider, f"short-{number}", recording_priority=PRIORITY_BULK)
    sys.setswitchinterval(worker.SWITCH_SOON)  # somebody did, in an earlier drain
    assert [job.begin_after for job in submitted(monkeypatch)] == [0] * 4
    assert sys.getswitchinterval() == pytest.approx(worker.SWITCH_EVERY)


@pytest.mark.django_db(transaction=True)
def test_a_job_that_waits_for_its_turn_has_asked_nobody_and_can_be_stopped(provider: Provider) -> None:
    waiting(business_of(provider), provider, "short-1")
    [job] = claim(1, worker="here:1")
    job.begin_after = 60.0
    threading.Timer(0.1, job.transfer.abort, [None]).start()
    client, began = Client(1, frozenset({provider.address}), 5, 5), time.monotonic()
    try:
        assert run(job, client, default_storage(), lambda: None) is None
    finally:
        client.close()
    assert time.monotonic() - began < 30
    assert provider.log() == []
