"""A process without memory, threads or file descriptors: its other work goes on, and it is well again by itself."""

import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import StartService
from demo.provider import Provider
from demo.service import Service, wait_until
from faults.machine.tests.forms import long_form
from recordings.attempts import Attempt
from recordings.download import audio, crew, worker
from recordings.download.providers import network
from recordings.models import Recording
from recordings.tests import rows
from recordings.tests.downloads import business_of, provider_and_storage, waiting
from recordings.tests.living import Customer, customer


@pytest.fixture
def provider(transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr("recordings.away._told_until", {})
    with provider_and_storage(tmp_path, RECORDINGS_SLOTS=4) as provider:
        worker._crew.cache_clear()
        yield provider
        worker._crew.cache_clear()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def crashed(row: Recording) -> bool:
    row.refresh_from_db()
    return (row.recording_reason, row.recording_permanent) == ("worker_crashed", False)


def comes_back(row: Recording) -> bool:
    rows.pass_time(120, row)
    Recording.objects.retry_due()
    worker.drain()
    row.refresh_from_db()
    return row.recording_download_status == "ready"


def test_a_download_that_runs_out_of_memory_fails_for_now_and_the_others_go_on(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    business = business_of(provider)
    all_rows = [waiting(business, provider, f"bulk-{number:06}") for number in range(6)]
    greedy, others = all_rows[:2], all_rows[2:]
    inspect = audio.inspect

    def hungry(path: Path) -> Any:
        if int(path.parent.name) in {row.pk for row in greedy}:
            raise MemoryError
        return inspect(path)

    with monkeypatch.context() as patch:
        patch.setattr(audio, "inspect", hungry)
        assert worker.drain() == 6
    assert all(crashed(row) for row in greedy)
    for row in others:
        row.refresh_from_db()
        assert row.recording_download_status == "ready"
    assert told(caplog) == ["A download ran out of memory; the worker's others go on"], "one line, not one a download"
    assert all(comes_back(row) for row in greedy)


def test_a_drain_without_memory_for_its_own_work_goes_on_when_there_is_some(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.05)
    row = waiting(business_of(provider), provider, "hello")
    settle = worker.Drain._settle
    refused: list[worker.Drain] = []

    def starved(drain: worker.Drain) -> None:
        if len(refused) < 3:
            refused.append(drain)
            raise MemoryError
        settle(drain)

    monkeypatch.setattr(worker.Drain, "_settle", starved)
    assert worker.drain() == 1
    row.refresh_from_db()
    assert (row.recording_download_status, len(refused)) == ("ready", 3)
    assert provider.count("hello").requests == 1
    assert told(caplog)[0] == "Out of memory while downloading"


def test_an_attempt_that_cannot_even_say_so_leaves_neither_its_thread_nor_its_row_hanging(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = waiting(business_of(provider), provider, "hello")

    def starved(*_arguments: object) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(crew, "run", starved)
        assert worker.drain() == 1
    assert crashed(row)
    assert comes_back(row)


def test_downloads_wait_for_a_thread_that_is_there_where_no_further_one_can_be_started(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    business = business_of(provider)
    first = waiting(business, provider, "hello")
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def refused(thread: threading.Thread) -> None:
        if thread.name.startswith("download-") and len(started) >= allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    allowed = 0
    assert worker.drain() == 1
    assert crashed(first)
    allowed = 1
    rest = [waiting(business, provider, f"bulk-{number:06}") for number in range(5)]
    assert worker.drain() == 5
    for row in rest:
        row.refresh_from_db()
        assert row.recording_download_status == "ready"
    assert comes_back(first)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_a_download_without_a_descriptor_blames_neither_provider_nor_disk_and_spends_no_last_try(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    row = waiting(business_of(provider), provider, "hello")

    def refused(*_arguments: object) -> Any:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(network, "_connect", refused)
        for _ in range(6):
            assert not comes_back(row)
    assert (row.recording_reason, row.recording_permanent) == ("storage_error", False)
    detail = Attempt.objects.filter(recording_id=row.pk).latest("pk").detail
    assert "no file descriptors left" in detail
    assert row.recording_next_retry_at is not None
    assert comes_back(row)


# --- the real thing -------------------------------------------------------------------------------------------------


@contextmanager
def limited(pids: list[int], which: int, limit: Callable[[int], int]) -> Iterator[None]:
    """Lower a limit of these processes, to what `limit` says for each, as long as it lasts."""
    before = {pid: resource.prlimit(pid, which) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, which, (limit(pid), hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, which, limits)


def descriptors(pid: int) -> int:
    """The lowest limit at which it can open no further one."""
    return max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 1


def address_space(pid: int) -> int:
    """Its size in bytes, and a little."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize() + (1 << 20)


def workers(running: Service) -> list[int]:
    return [member.pid for member in running.group("cluster")]


def failed_or_waits(running: Service, sids: list[str]) -> bool:
    found = dict(running.sql("SELECT call_sid, recording_download_status FROM call_log"))
    return all(found[sid] in {"failed", "queued"} for sid in sids)


def all_ready(acme: Customer, count: int) -> None:
    wait_until(lambda: acme.statuses().get("ready") == count, 60, "all are ready")
    wait_until(lambda: acme.request("GET", "/readyz")[0] == 200, 20, "it is well")


@long_form
def test_processes_that_ran_out_of_descriptors_or_memory_are_well_again_by_themselves(service: StartService) -> None:
    with Provider(auth="none") as provider:
        running = service(environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address})
        acme = customer(running, provider)
        acme.import_recordings({f"CA{number}": f"bulk-{number:06}" for number in range(7)})
        click(acme, ["CA0"])
        all_ready(acme, 1)
        members = {(member.pid, member.role) for member in running.members()}

        with limited(workers(running), resource.RLIMIT_NOFILE, lambda pid: descriptors(pid) + 1):
            click(acme, ["CA1", "CA2", "CA3"])
            wait_until(lambda: "no file descriptors left" in running.log(), 20, "it is said")
            wait_until(lambda: failed_or_waits(running, ["CA1", "CA2", "CA3"]), 20, "none hangs")
        all_ready(acme, 4)

        with limited(workers(running), resource.RLIMIT_AS, address_space):
            click(acme, ["CA4", "CA5"])
            wait_until(lambda: reached(running, "CA4", "CA5"), 20, "they were tried, or wait")
        all_ready(acme, 6)

        web = [member.pid for member in running.group("web")]
        with limited(web, resource.RLIMIT_NOFILE, descriptors):
            answers = {status(acme, f"/api/recordings/CA{number}/stream") for number in range(4)}
            assert answers <= {200, 500, 503, 0}, answers
        click(acme, ["CA6"])
        all_ready(acme, 7)
        assert status(acme, "/api/recordings/CA0/stream") == 200
        assert {(member.pid, member.role) for member in running.members()} == members, "nothing has died of it"


def click(acme: Customer, sids: list[str]) -> None:
    for sid in sids:
        wait_until(lambda sid=sid: status(acme, f"/api/recordings/{sid}/download", "POST") in {200, 202}, 30, sid)  # type: ignore[misc]


def status(acme: Customer, path: str, method: str = "GET") -> int:
    """Of the answer; 0 when the connection was refused or broke off."""
    try:
        return acme.request(method, path, {} if method == "POST" else None)[0]
    except OSError:
        return 0


def reached(running: Service, *sids: str) -> bool:
    """Whether each was claimed and has ended, in whichever way, or waits because nobody can claim."""
    query = "SELECT call_sid FROM recordings_attempt JOIN call_log ON call_log.id = recording_id"
    tried = {sid for (sid,) in running.sql(query)}
    return set(sids) <= tried or failed_or_waits(running, list(sids))
