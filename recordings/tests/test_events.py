"""GET recordings/events: a snapshot, then what changes, to whoever may see it; and nothing is left behind."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from conftest import StartService
from demo.library import bulk
from demo.provider import Provider
from demo.service import wait_until
from recordings.tests.living import Customer, customer

_numbers = count(1)
MOST_PLACES = 48


class Stream:
    """One connection, read event by event."""

    def __init__(self, acme: Customer, ids: str, token: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", acme.service.port, timeout=30)
        headers = {"Authorization": f"Token {token or acme.token}", "Accept": "text/event-stream"}
        self.connection.request("GET", f"/api/recordings/events?ids={ids}", headers=headers)
        self.answer = self.connection.getresponse()

    def next(self) -> tuple[str, Any]:
        """The next event's name and data; comments and other fields are skipped."""
        name = ""
        while line := self.answer.readline().decode().rstrip("\n"):
            pass
        while True:
            line = self.answer.readline().decode()
            assert line, "the stream ended"
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "event":
                name = value
            if field == "data":
                return name, json.loads(value)

    def until(self, sid: str, status: str) -> list[dict[str, Any]]:
        """The payloads of one recording up to this status."""
        told: list[dict[str, Any]] = []
        while not told or told[-1]["status"] != status:
            name, data = self.next()
            assert name == "status"
            if data["call_sid"] == sid:
                told.append(data)
        return told

    def close(self) -> None:
        self.connection.close()


@pytest.fixture(scope="module")
def acme(lasting_service: StartService) -> Iterator[Customer]:
    with Provider(auth="none") as provider:
        allowed = {"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address, "WEB_WORKERS": "1", "WEB_THREADS": "64"}
        yield customer(lasting_service(environment=allowed), provider)


def recording(acme: Customer, misbehaviour: str = "", **options: Any) -> str:
    number = next(_numbers)
    sid, name = f"EVENT{number:04}", f"bulk-event-{number:04}"
    acme.provider.put(name, bulk(name, 1_000_000))
    if misbehaviour:
        acme.provider.misbehave(name, misbehaviour, **options)
    acme.bring(sid, name)
    return sid


def web_sockets(acme: Customer) -> int:
    """How many sockets the web processes hold."""
    found = 0
    for member in acme.service.group("web"):
        for descriptor in Path(f"/proc/{member.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found += str(descriptor.readlink()).startswith("socket:")
    return found


def test_a_snapshot_comes_first_then_each_change_with_its_progress(acme: Customer) -> None:
    sid = recording(acme, "slow", bytes_per_second=500_000)
    with closing(Stream(acme, f"{sid},NOSUCH")) as stream:
        assert stream.answer.status == 200
        assert stream.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.answer.headers["Cache-Control"] == "no-store"
        name, data = stream.next()
        assert (name, data["not_found"]) == ("snapshot", ["NOSUCH"])
        assert data["results"][sid]["status"] == "missing"
        acme.request("POST", f"/api/recordings/{sid}/download", {})
        told = stream.until(sid, "ready")
    statuses = [one["status"] for one in told]
    changes = [status for at, status in enumerate(statuses) if at == 0 or statuses[at - 1] != status]
    assert changes in (
        ["queued", "downloading", "ready"],
        ["downloading", "ready"],
    )  # what is over at once may be left out
    done = [one["bytes_done"] for one in told if one["status"] == "downloading"]
    assert done == sorted(done)
    assert 0 < done[-1] <= 1_000_000
    assert told[-1]["playable"]


def test_listening_starts_nothing_and_another_business_sees_nothing(acme: Customer) -> None:
    other = customer(acme.service, acme.provider, "other")
    sid = recording(acme)
    with closing(Stream(acme, sid, other.token)) as stream:
        assert stream.next() == ("snapshot", {"results": {}, "not_found": [sid]})
    assert acme.statuses()["missing"] >= 1
    assert acme.provider.count(sid).requests == 0


@pytest.mark.parametrize(("ids", "code"), [("", "required"), (",".join(map(str, range(5_000))), "too_many_ids")])
def test_no_ids_and_too_many_are_a_clear_400(acme: Customer, ids: str, code: str) -> None:
    with closing(Stream(acme, ids)) as stream:
        assert stream.answer.status == 400
        assert json.loads(stream.answer.read())["errors"][0]["code"] == code


def test_an_address_of_ten_thousand_ids_is_414(acme: Customer) -> None:
    with closing(Stream(acme, ",".join(f"CA{number:05}" for number in range(10_000)))) as stream:
        assert stream.answer.status == 414


def test_without_a_free_place_it_is_503_and_all_is_let_go_when_the_listeners_leave(acme: Customer) -> None:
    sid = recording(acme)
    before = web_sockets(acme)
    crowd = [Stream(acme, sid) for _ in range(MOST_PLACES + 4)]
    try:
        statuses = [stream.answer.status for stream in crowd]
        # A quarter of 48 is kept for other businesses; earlier tests' connections may not have been missed yet.
        assert 30 <= statuses.count(200) <= 36
        refused = next(stream for stream in crowd if stream.answer.status == 503)
        assert json.loads(refused.answer.read())["code"] == "busy"
        assert refused.answer.headers["Retry-After"] == "5"
        assert acme.request("GET", f"/api/recordings/{sid}/status")[0] == 200
    finally:
        for stream in crowd:
            stream.close()
    acme.request("POST", f"/api/recordings/{sid}/download", {})  # changes: each connection finds out that it is gone
    waits = recording(acme, "gate-start")

    def all_free() -> bool:
        return "preference-applied" in acme.request("GET", f"/api/recordings/{waits}/stream", Prefer="wait=1")[1]

    wait_until(all_free, 40, "places are free again")
    wait_until(lambda: web_sockets(acme) <= before, 10, "connections are closed")
