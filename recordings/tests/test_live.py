"""`stream?live=1` of a living service: all hear the bytes as they come, on one fetch, whatever dies meanwhile."""

import hashlib
import http.client
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from conftest import StartService
from demo.library import Audio, bulk
from demo.provider import Provider
from demo.service import wait_until
from recordings.tests.living import Customer, customer

SIZE = 2_000_000
PLACES = 48
"""Of 64 threads 16 are kept for short answers."""

_numbers = count(1)


@dataclass
class Station:
    """A living service with a customer, and the provider behind it."""

    acme: Customer
    provider: Provider
    listeners: list["Listener"] = field(default_factory=list)

    def recording(self, misbehaviour: str = "", size: int = SIZE, **options: Any) -> "OnAir":
        """A recording that nobody has asked for, whose provider does this."""
        number = next(_numbers)
        sid, name = f"LIVE{number:04}", f"bulk-live-{number:04}"
        audio = bulk(name, size)
        self.provider.put(name, audio)
        if misbehaviour:
            self.provider.misbehave(name, misbehaviour, **options)
        self.acme.bring(sid, name)
        return OnAir(self, sid, name, audio)


@dataclass
class OnAir:
    """One recording of a station."""

    station: Station
    sid: str
    name: str
    audio: Audio

    def listen(self, query: str = "live=1", **headers: str) -> "Listener":
        """Ask for it, up to the answer's headers."""
        listener = Listener(self, query, headers)
        self.station.listeners.append(listener)
        return listener

    def row(self, *columns: str) -> tuple[Any, ...]:
        """What its row says."""
        names = ", ".join(columns)
        [row] = self.station.acme.service.sql(f"SELECT {names} FROM call_log WHERE call_sid = %s", self.sid)
        return row

    @property
    def status(self) -> str:
        return str(self.row("recording_download_status")[0])

    def worker(self) -> int:
        """The process that downloads it."""
        query = (
            "SELECT worker FROM recordings_attempt JOIN call_log ON call_log.id = recording_id"
            " WHERE call_sid = %s AND outcome = 'running'"
        )
        found = wait_until(lambda: self.station.acme.service.sql(query, self.sid), 10, "a worker has it")
        return int(str(found[0][0]).rpartition(":")[2])

    def outcomes(self) -> list[str]:
        query = (
            "SELECT outcome FROM recordings_attempt JOIN call_log ON call_log.id = recording_id"
            " WHERE call_sid = %s ORDER BY recordings_attempt.id"
        )
        return [str(row[0]) for row in self.station.acme.service.sql(query, self.sid)]


class Listener:
    """One client on a connection of its own."""

    def __init__(self, on_air: OnAir, query: str, headers: dict[str, str]) -> None:
        acme = on_air.station.acme
        self.connection = http.client.HTTPConnection("127.0.0.1", acme.service.port, timeout=60)
        own = {"Authorization": f"Token {acme.token}", "Range": "bytes=0-"} | headers
        own = {name.replace("_", "-"): value for name, value in own.items() if value}
        self.connection.request("GET", f"/api/recordings/{on_air.sid}/stream?{query}", headers=own)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.headers = {name.lower(): value for name, value in self.answer.getheaders()}

    def read(self, size: int | None = None) -> bytes:
        return self.answer.read(size)

    def json(self) -> Any:
        return json.loads(self.read())

    def close(self) -> None:
        self.connection.close()


@pytest.fixture(scope="module")
def station(lasting_service: StartService) -> Iterator[Station]:
    with Provider(auth="none") as provider:
        allowed = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address, "WEB_THREADS": "64"}
        running = lasting_service(environment=allowed)
        yield Station(customer(running, provider), provider)


@pytest.fixture(autouse=True)
def quiet(station: Station) -> Iterator[None]:
    """No listener outlives its test."""
    station.provider.close_gates()
    yield
    for listener in station.listeners:
        listener.close()
    station.listeners.clear()


def test_a_cold_recording_is_heard_as_it_comes_with_its_true_length(station: Station) -> None:
    cold = station.recording("gate-body")
    listener = cold.listen()
    assert listener.status == 206
    assert listener.headers["content-range"] == f"bytes 0-{SIZE - 1}/{SIZE}"
    assert listener.headers["content-length"] == str(SIZE)
    assert listener.headers["content-type"] == "audio/wav"
    first_half = listener.read(SIZE // 2)
    assert cold.status == "downloading"
    station.provider.open_gate(cold.name)
    assert hashlib.sha256(first_half + listener.read()).hexdigest() == cold.audio.sha256
    wait_until(lambda: cold.status == "ready", 10, "it is ready")
    after = cold.listen()
    assert (after.status, after.headers["etag"]) == (206, listener.headers["etag"])
    assert after.read() == cold.audio.body
    assert station.provider.count(cold.name).requests == 1


def test_without_a_range_it_is_200_and_a_part_is_sent_as_a_part(station: Station) -> None:
    cold = station.recording("slow", bytes_per_second=2_000_000)
    whole, part, last = cold.listen(Range=""), cold.listen(Range="bytes=1000-1999"), cold.listen(Range="bytes=-500")
    assert (whole.status, whole.headers["content-length"]) == (200, str(SIZE))
    assert (part.status, part.read()) == (206, cold.audio.body[1000:2000])
    assert (last.status, last.headers["content-range"]) == (206, f"bytes {SIZE - 500}-{SIZE - 1}/{SIZE}")
    assert last.read() == cold.audio.body[-500:]
    assert whole.read() == cold.audio.body


def test_many_listeners_in_all_web_processes_share_one_fetch(station: Station) -> None:
    cold = station.recording("slow", bytes_per_second=2_000_000)

    def hear(_number: int) -> str:
        listener = cold.listen()
        assert listener.status == 206
        return hashlib.sha256(listener.read()).hexdigest()

    with ThreadPoolExecutor(40) as crowd:
        assert set(crowd.map(hear, range(40))) == {cold.audio.sha256}
    assert station.provider.count(cold.name).requests == 1
    wait_until(lambda: cold.outcomes() == ["ready"], 10, "the only attempt has ended")


def test_a_range_ahead_of_the_download_waits_for_its_bytes(station: Station) -> None:
    cold = station.recording("gate-body")
    first = cold.listen()
    assert len(first.read(1000)) == 1000
    ahead = cold.listen(Range=f"bytes={SIZE - 1000}-")
    assert (ahead.status, ahead.headers["content-length"]) == (206, "1000")
    station.provider.open_gate(cold.name)
    assert ahead.read() == cold.audio.body[-1000:]
    first.close()


def test_beyond_the_end_is_416_while_it_arrives_too(station: Station) -> None:
    cold = station.recording("gate-body")
    cold.listen().close()
    beyond = cold.listen(Range=f"bytes={SIZE}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{SIZE}")
    assert beyond.json()["code"] == "range_not_satisfiable"
    station.provider.open_gate(cold.name)
    wait_until(lambda: cold.status == "ready", 10, "it is ready")  # or the next test would shut the gate again


@pytest.mark.parametrize("query", ["live=1&v=..%2Fetc", "live=1&v=zz-zz", "live=1&v=" + "f" * 200])
def test_nonsense_for_a_version_is_a_clear_400(station: Station, query: str) -> None:
    cold = station.recording()
    answer = cold.listen(query)
    assert (answer.status, answer.json()["errors"][0]["parameter"]) == (400, "v")
    assert cold.status == "missing"


def test_the_version_of_other_bytes_is_412_and_the_own_one_is_served(station: Station) -> None:
    cold = station.recording()
    listener = cold.listen()
    version = listener.headers["etag"].strip('"')
    assert listener.read() == cold.audio.body
    wait_until(lambda: cold.status == "ready", 10, "it is ready")
    assert cold.listen(f"live=1&v={version}").read() == cold.audio.body
    stale = cold.listen("live=1&v=1-1")
    assert (stale.status, stale.json()["code"]) == (412, "version_changed")


def test_a_body_of_unknown_length_is_202_as_without_live(station: Station) -> None:
    cold = station.recording("gate-body")
    station.provider.misbehave(cold.name, "chunked")
    answer = cold.listen()
    assert answer.status in {202, 206}  # 206: it was whole before it was told
    answer.read()
    wait_until(lambda: cold.status == "ready", 10, "it is ready")


def test_a_permanent_failure_is_said_at_once(station: Station) -> None:
    gone = station.recording("gone")
    answer = gone.listen()
    assert (answer.status, answer.json()["code"]) == (410, "recording_gone")


@pytest.mark.parametrize("misbehaviour", ["short-body", "reset-body"])
def test_a_body_that_breaks_off_is_a_broken_connection_and_never_an_end(station: Station, misbehaviour: str) -> None:
    cold = station.recording(misbehaviour, first=1, milliseconds=1000)
    listener = cold.listen()
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        listener.read()
    resumed = cold.listen(Range=f"bytes={SIZE // 4}-", If_Range=listener.headers["etag"])
    assert resumed.status == 206
    assert resumed.read() == cold.audio.body[SIZE // 4 :]
    log = (station.acme.service.var / "serve.log").read_text()
    assert "Traceback" not in log, "each listener would be a traceback"


def test_when_a_worker_dies_another_goes_on_and_nobody_notices(station: Station) -> None:
    cold = station.recording("slow", bytes_per_second=400_000)
    listener = cold.listen()
    heard = listener.read(SIZE // 8)
    os.kill(cold.worker(), signal.SIGKILL)
    station.provider.behave(cold.name)  # the rest comes as fast as it can
    heard += listener.read()
    assert hashlib.sha256(heard).hexdigest() == cold.audio.sha256
    wait_until(lambda: cold.status == "ready", 20, "it is ready")
    seen = [one for one in station.provider.log() if one.recording == cold.name]
    assert [bool(one.headers.get("range")) for one in seen] == [False, True]
    assert cold.outcomes() == ["crashed", "ready"]
    assert cold.row("recording_sha256")[0] == cold.audio.sha256


def test_when_the_file_has_changed_at_the_provider_nobody_hears_a_mixture(station: Station) -> None:
    cold = station.recording("slow", bytes_per_second=400_000)
    listener = cold.listen()
    listener.read(SIZE // 8)
    station.provider.put(cold.name, other := bulk("another-" + cold.name, SIZE))
    station.provider.behave(cold.name)
    os.kill(cold.worker(), signal.SIGKILL)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        listener.read()
    wait_until(lambda: cold.status == "ready", 30, "it is ready")
    assert cold.row("recording_sha256")[0] == other.sha256
    version = listener.headers["etag"].strip('"')
    resumed = cold.listen(f"live=1&v={version}", Range="bytes=5000-")
    assert (resumed.status, resumed.json()["code"]) == (412, "version_changed")
    by_tag = cold.listen(Range="bytes=5000-", If_Range=listener.headers["etag"])
    assert (by_tag.status, by_tag.read()) == (200, other.body)


def test_who_stops_listening_leaves_nothing_behind_and_the_download_goes_on(station: Station) -> None:
    cold = station.recording("gate-body")
    for _ in range(3):
        cold.listen().close()
    station.provider.open_gate(cold.name)
    wait_until(lambda: cold.status == "ready", 10, "it is ready")
    wait_until(lambda: parts_open(station) == [], 40, "no process has a part open")


def test_who_reads_nothing_holds_nobody_up(station: Station) -> None:
    size = 20_000_000  # more than a socket takes in
    cold = station.recording("slow", size=size, bytes_per_second=10_000_000)
    idle, eager = cold.listen(), cold.listen()
    assert idle.read(1) == cold.audio.body[:1]
    assert hashlib.sha256(eager.read()).hexdigest() == cold.audio.sha256
    idle.close()
    wait_until(lambda: parts_open(station) == [], 40, "no process has a part open")


def test_more_listeners_than_places_are_told_202_and_who_resumes_finds_a_place(station: Station) -> None:
    cold = station.recording("gate-body")
    crowd = [cold.listen() for _ in range(2 * PLACES)]  # spread over two processes, not evenly
    told = [listener for listener in crowd if listener.status == 202]
    assert {listener.status for listener in crowd} == {202, 206}
    assert len(crowd) - len(told) <= 2 * (PLACES - PLACES // 4), "the others are for other businesses"
    assert told[0].json()["status"] == "downloading"
    resumed = cold.listen(Range="bytes=1000-")
    assert resumed.status == 206
    assert station.acme.request("GET", f"/api/recordings/{cold.sid}/status")[0] == 200
    station.provider.open_gate(cold.name)
    assert resumed.read() == cold.audio.body[1000:]
    assert station.provider.count(cold.name).requests == 1


def parts_open(station: Station) -> list[str]:
    """What the web processes have open of growing files, renamed or removed ones included."""
    found = []
    for member in station.acme.service.group("web"):
        for descriptor in Path(f"/proc/{member.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found.append(str(descriptor.readlink()))
    return [name for name in found if "/recordings/" in name]


def test_without_a_storage_it_is_503_at_once_and_nothing_is_asked_for(station: Station) -> None:
    cold = station.recording("gate-body")
    folder = station.acme.service.var / "recordings"
    away = folder.rename(folder.with_name("away"))
    try:
        listener = cold.listen()
        assert (listener.status, listener.json()["code"]) == (503, "storage_away")
        assert cold.status == "missing"
    finally:
        away.rename(folder)
    back = cold.listen()
    assert back.status == 206
    station.provider.open_gate(cold.name)
    assert back.read() == cold.audio.body
