"""A real service on two small disks, its data on one and its recordings on the other: full, read-only, away, and back.

The tests share the service; each leaves it well. Three of them belong to the long form (LONG=1).
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import _services, on_postgres
from demo.provider import Provider
from demo.service import Service, wait_until
from faults.machine import disks
from faults.machine.disks import MEGABYTE, Disk
from faults.machine.tests.forms import long_form, once
from recordings.tests.living import Customer, customer

NAMES = ["warm", "full-1", "full-2", "read-only-1", "read-only-2", "away-1", "away-2"]
NAMES += ["bulk-000003", "bulk-000004", "bulk-000005"]  # large ones
RESERVE = 2 * MEGABYTE
MOST = 60
"""Seconds in which all must be right again."""


pytestmark = once


@dataclass
class Machine:
    """A service whose data are on one disk, its recordings on another."""

    service: Service
    data: Disk
    storage: Disk
    provider: Provider
    acme: Customer

    def backfill(self, sid: str) -> None:
        """Queue it as bulk work is queued."""
        self.service.sql("UPDATE call_log SET recording_download_status = 'queued' WHERE call_sid = %s", sid)

    def click(self, sid: str) -> int:
        """Ask for a download as a person does; the status of the answer."""
        return self.acme.request("POST", f"/api/recordings/{sid}/download", {})[0]

    def play(self, sid: str) -> tuple[int, bytes]:
        """Status and body of a GET of the audio."""
        status, _, body = self.acme.request("GET", f"/api/recordings/{sid}/stream")
        return status, body

    def row(self, sid: str) -> tuple[str, str, int]:
        """Status, reason and count of failures."""
        columns = "recording_download_status, recording_reason, recording_fail_count"
        [found] = self.service.sql(f"SELECT {columns} FROM call_log WHERE call_sid = %s", sid)
        return str(found[0]), str(found[1]), int(found[2])

    def ready(self) -> tuple[int, dict[str, str]]:
        """/readyz: its status and its checks."""
        status, _, body = self.acme.request("GET", "/readyz")
        return status, json.loads(body)["checks"]

    def all_ready(self, sids: list[str]) -> bool:
        return all(self.row(sid)[0] == "ready" for sid in sids)

    def right(self, sid: str) -> bool:
        """Whether what is played is what the provider has."""
        status, body = self.play(sid)
        return (status, body) == (200, self.provider.audio(self.provider.url(sid.removeprefix("CA-"), "wav")).body)

    def lines(self, message: str) -> int:
        """How often the log has this message."""
        return self.service.log().count(message)

    def recovers(self, sids: list[str]) -> None:
        """By itself: all of these are ready, with the provider's bytes, and the service says that it is well."""
        wait_until(lambda: self.all_ready(sids), MOST, "all are ready")
        assert [sid for sid in sids if not self.right(sid)] == []
        wait_until(lambda: self.ready()[0] == 200, 10, "/readyz is well")


@pytest.fixture(scope="module")
def machine(
    prepared_var: Path, prepared_database: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    if why := disks.why_not():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("machine")
    with ExitStack() as stack:
        data = stack.enter_context(disks.disk(folder / "data", 64 * MEGABYTE))
        storage = stack.enter_context(disks.disk(folder / "storage", 16 * MEGABYTE))
        provider = stack.enter_context(Provider(auth="none", bulk_bytes=200_000))
        start = stack.enter_context(_services(prepared_var, prepared_database, data.folder))
        environment = {
            "RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address,
            "RECORDINGS_ROOT": str(storage.folder / "recordings"),
            "RECORDINGS_MIN_FREE_BYTES": str(RESERVE),
        }
        service = start(environment=environment, start=False)
        shutil.copytree(service.var / "recordings", storage.folder / "recordings")
        (service.var / "serve.log").symlink_to(folder / "serve.log")  # it must not be on the disk that fills up
        service.start()
        machine = Machine(service, data, storage, provider, customer(service, provider))
        machine.acme.import_recordings({f"CA-{name}": name for name in NAMES})
        machine.click("CA-warm")
        machine.recovers(["CA-warm"])
        yield machine
        for each in (data, storage):
            each.make_room()
        assert "Traceback" not in service.log()
        assert "Download attempt crashed" not in service.log()


@pytest.fixture(autouse=True)
def clean(machine: Machine) -> Iterator[None]:
    machine.provider.behave()
    machine.provider.close_gates()
    yield
    machine.provider.open_gate()


def at_gate(machine: Machine, sid: str) -> None:
    """Have this recording's download stop in the middle of its body."""
    name = sid.removeprefix("CA-")
    machine.provider.misbehave(name, "gate-body")
    machine.click(sid)
    machine.provider.wait_for(name, requests=1)


def test_a_full_storage_refuses_before_the_download_and_all_is_ready_once_there_is_room(machine: Machine) -> None:
    click, bulk = "CA-full-1", "CA-full-2"
    machine.storage.fill(leave=RESERVE // 2)
    assert machine.ready()[1]["storage"].startswith("full: ")
    assert machine.click(click) == 202
    machine.backfill(bulk)

    wait_until(lambda: machine.row(click)[:2] == ("failed", "storage_full"), 20, "the click hears why")
    assert machine.row(bulk) == ("queued", "", 0)
    status, _, body = machine.acme.request("GET", f"/api/recordings/{click}/status")
    assert (status, json.loads(body)["permanent"]) == (200, False)
    assert json.loads(body)["message"].startswith("Our storage is full.")
    assert machine.provider.count("full-1").requests == machine.provider.count("full-2").requests == 0
    assert machine.right("CA-warm"), "what is here plays"

    machine.storage.make_room()
    machine.recovers([click, bulk])
    assert machine.lines("The storage of recordings is full") == 1
    wait_until(lambda: machine.lines("The storage of recordings is back") == 1, 10, "its return is told")


@long_form
def test_a_disk_that_fills_up_in_the_middle_of_a_download_fails_it_for_now(machine: Machine) -> None:
    sid = "CA-bulk-000003"
    at_gate(machine, sid)
    machine.storage.fill()
    machine.provider.open_gate()
    wait_until(lambda: machine.row(sid)[:2] == ("failed", "storage_full"), 20, "it fails for now")
    folders = [path for path in (machine.storage.folder / "recordings").iterdir() if path.is_dir()]
    assert len([path for folder in folders for path in folder.glob("*.part")]) == 0, "its half makes room for others"
    machine.storage.make_room()
    machine.recovers([sid])


@long_form
def test_a_read_only_storage_is_named_and_all_is_ready_once_it_can_be_written(machine: Machine) -> None:
    click, bulk = "CA-read-only-1", "CA-read-only-2"
    machine.storage.read_only()
    assert machine.ready() == (503, {"database": "ok", "storage": "is mounted read-only", "workers": "ok"})
    machine.click(click)
    machine.backfill(bulk)
    wait_until(lambda: machine.row(click)[:2] == ("failed", "storage_error"), 20, "the click hears why")
    assert machine.row(bulk) == ("queued", "", 0)
    assert machine.right("CA-warm"), "what is here plays"

    machine.storage.read_only(False)
    machine.recovers([click, bulk])
    assert machine.lines("The storage of recordings can't be written to") == 1


def test_a_storage_that_is_away_is_waited_for_and_no_try_is_spent(machine: Machine) -> None:
    click, bulk = "CA-away-1", "CA-away-2"
    back = machine.lines("The storage of recordings is back")
    machine.storage.take_away()
    assert machine.ready() == (503, {"database": "ok", "storage": "its marker file is not there", "workers": "ok"})
    machine.click(click)
    machine.backfill(bulk)
    assert machine.play("CA-warm")[0] == 503

    def claimed() -> int:
        [[count]] = machine.service.sql(
            "SELECT COUNT(*) FROM recordings_attempt JOIN call_log ON call_log.id = recording_id"
            " WHERE call_sid IN (%s, %s)", click, bulk,
        )  # fmt: skip
        return int(count)

    sign = machine.service.var / "run" / "cluster.alive"
    began = sign.stat().st_mtime
    wait_until(lambda: sign.stat().st_mtime > began + 2, 20, "it has looked more than once")
    assert machine.row(click) == machine.row(bulk) == ("queued", "", 0)
    assert claimed() == 0
    assert machine.lines("The storage of recordings is away") == 1
    assert machine.row("CA-warm")[0] == "ready", "nothing is believed lost"

    machine.storage.bring_back()
    machine.recovers([click, bulk, "CA-warm"])
    assert claimed() == 2
    wait_until(lambda: machine.lines("The storage of recordings is back") == back + 1, 10, "its return is told")


@long_form
def test_a_storage_that_goes_away_under_a_download_gives_it_back_to_the_queue(machine: Machine) -> None:
    sid = "CA-bulk-000005"
    at_gate(machine, sid)
    machine.storage.take_away()
    machine.provider.open_gate()
    wait_until(lambda: machine.row(sid) == ("queued", "", 0), 20, "it waits again")
    machine.storage.bring_back()
    machine.recovers([sid])


def test_a_database_on_a_full_disk_takes_no_commit_and_loses_none(machine: Machine) -> None:
    """SQLite only: “database or disk is full” at the moment of finish."""
    if on_postgres():
        pytest.skip("the database is on another disk")
    sid = "CA-bulk-000004"
    at_gate(machine, sid)
    wait_until(lambda: machine.row(sid)[0] == "downloading", 20, "it has begun")
    machine.service.sql("PRAGMA wal_checkpoint(TRUNCATE)")  # else there is room in the log that it has already
    machine.data.fill()
    machine.provider.open_gate()
    wait_until(lambda: machine.lines("Database away while downloading"), 20, "the worker has tried to commit it")

    assert machine.ready()[1]["database"] == "its disk is full"
    assert machine.row(sid)[0] == "downloading", "nothing is ready that was not committed"
    assert machine.right("CA-warm"), "what is here plays for a program"
    assert machine.click(sid) in {200, 202, 500, 503}, "the web lives"

    machine.data.make_room()
    machine.recovers([sid])
    assert machine.provider.count("bulk-000004").requests == 1, "the file was kept"
