"""A living service behind a real nginx with deploy/nginx.conf: what clients get is what they get without it."""

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import pytest

from conftest import StartService
from demo import nginx
from demo.library import Audio, bulk
from demo.provider import Provider
from demo.service import MANAGE, wait_until
from prosaasil.supervisor.ports import accepts, free_port
from recordings.tests.living import Customer, customer

pytestmark = pytest.mark.once

SIZE = 1_000_000
ITS_OWN = {"date", "server", "connection", "x-request-id"}
"""Headers that differ from answer to answer, or are a server's own."""

_numbers = count(1)


@dataclass(frozen=True)
class Got:
    """One answer: status, headers (names in lower case) and body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Its only value."""
        values = [value for each, value in self.headers if each == name]
        assert len(values) < 2, (name, values)
        return values[0] if values else None


@dataclass
class Stage:
    """The service, a customer of it, and the nginx in front."""

    acme: Customer
    proxy: nginx.Server

    @property
    def provider(self) -> Provider:
        return self.acme.provider

    def recording(self, misbehaviour: str = "", **options: object) -> tuple[str, Audio]:
        """The SID of a recording that nobody has asked for, and its bytes."""
        number = next(_numbers)
        sid, name = f"NGINX{number:04}", f"bulk-nginx-{number:04}"
        audio = bulk(name, SIZE)
        self.provider.put(name, audio)
        if misbehaviour:
            self.provider.misbehave(name, misbehaviour, **options)  # type: ignore[arg-type]
        self.acme.bring(sid, name)
        return sid, audio

    def ready(self) -> tuple[str, Audio]:
        """The same, downloaded."""
        sid, audio = self.recording()
        self.acme.request("POST", f"/api/recordings/{sid}/download", {})
        wait_until(lambda: self.status(sid) == "ready", 10, "it is ready")
        return sid, audio

    def status(self, sid: str) -> str:
        [row] = self.acme.service.sql("SELECT recording_download_status FROM call_log WHERE call_sid = %s", sid)
        return str(row[0])

    def open(self, path: str, port: int = 0, method: str = "GET", token: str = "", **headers: str) -> "Open":
        """Ask nginx, or another port; up to the answer's headers."""
        own = {"Authorization": f"Token {token or self.acme.token}"}
        own |= {name.replace("_", "-"): value for name, value in headers.items()}
        return Open(port or self.proxy.port, method, path, own)

    def get(self, path: str, port: int = 0, method: str = "GET", token: str = "", **headers: str) -> Got:
        """The same, with the body."""
        opened = self.open(path, port, method, token, **headers)
        try:
            found = [(name.lower(), value) for name, value in opened.answer.getheaders()]
            return Got(opened.answer.status, found, opened.answer.read())
        finally:
            opened.close()


class Open:
    """One request on a connection of its own, whose answer has begun."""

    def __init__(self, port: int, method: str, path: str, headers: dict[str, str]) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.connection.request(method, path, headers=headers)
        self.answer = self.connection.getresponse()

    def close(self) -> None:
        self.connection.close()


@pytest.fixture(scope="module")
def stage(lasting_service: StartService) -> Iterator[Stage]:
    with Provider(auth="none") as provider:
        own = {
            "RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address,
            "RECORDINGS_ACCEL": nginx.ACCEL,
            "WEB_WORKERS": "1",
            "WEB_THREADS": "64",
        }
        service = lasting_service(environment=own)
        with nginx.running(service.port, service.var / "recordings") as proxy:
            yield Stage(customer(service, provider), proxy)


@pytest.fixture(scope="module")
def direct(stage: Stage) -> Iterator[int]:
    """The port of a second web on the same data, without nginx: it sends the bytes itself."""
    port = free_port()
    own = stage.acme.service.environment | {"RECORDINGS_ACCEL": "", "PORT": str(port), "PROSAASIL_ROLE": "web"}
    web = subprocess.Popen([sys.executable, str(MANAGE), "web"], env=own)
    try:
        wait_until(lambda: accepts(port), 30, "the second web answers")
        yield port
    finally:
        web.terminate()
        web.wait(20)


TABLE: list[dict[str, str]] = [
    {},
    {"Range": "bytes=0-"},
    {"Range": "bytes=0-1"},
    {"Range": "bytes=1000-1999"},
    {"Range": f"bytes={SIZE // 2}-"},
    {"Range": "bytes=-500"},
    {"Range": "bytes=-99999999"},
    {"Range": f"bytes=5-{10**17}"},
    {"Range": "bytes=5-99999999999999999999999"},
    {"Range": "BYTES=5-9"},
    {"Range": "bytes=, 5-9 ,"},
    {"Range": "bytes=0-0,5-9"},
    {"Range": "bytes=9-5"},
    {"Range": "bytes=x"},
    {"Range": "items=0-1"},
    {"Range": "bytes=-0"},
    {"Range": "bytes=99999999-"},
    {"Range": "bytes=5-9", "If_Range": "ETAG"},
    {"Range": "bytes=5-9", "If_Range": "MODIFIED"},
    {"Range": "bytes=5-9", "If_Range": '"1-1"'},
    {"Range": "bytes=5-9", "If_Range": "W/ETAG"},
    {"Range": "bytes=5-9", "If_Range": "Wed, 13 Mar 2024 12:57:23 GMT"},
    {"Range": "bytes=99999999-", "If_Range": '"1-1"'},
    {"If_Range": "ETAG"},
    {"If_None_Match": "ETAG"},
    {"If_None_Match": "W/ETAG"},
    {"If_None_Match": '"1-1", ETAG'},
    {"If_None_Match": '"1-1"'},
    {"If_None_Match": '"1-1"', "If_Modified_Since": "MODIFIED"},
    {"If_None_Match": "*"},
    {"If_Modified_Since": "MODIFIED"},
    {"If_Modified_Since": "Tue, 01 Jan 2030 00:00:00 GMT"},
    {"If_Modified_Since": "Wed, 13 Mar 2024 12:57:23 GMT", "Range": "bytes=5-9"},
    {"If_Match": '"1-1"'},
    {"If_Unmodified_Since": "Wed, 13 Mar 2024 12:57:23 GMT", "Range": "bytes=5-9"},
    {"Prefer": "wait=1"},
    {"Authorization": "Token wrong"},
    {"Accept": "text/html", "Accept_Language": "he", "Accept_Encoding": "gzip"},
]


@pytest.fixture(scope="module")
def played(stage: Stage) -> tuple[str, Audio]:
    return stage.ready()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("asked", TABLE, ids=lambda asked: json.dumps(asked) if asked else "plain")
def test_the_answer_is_the_same_as_without_nginx(
    stage: Stage, direct: int, played: tuple[str, Audio], asked: dict[str, str], method: str
) -> None:
    path = f"/api/recordings/{played[0]}/stream"
    plain = stage.get(path, direct)
    validators = {"ETAG": plain.header("etag") or "", "MODIFIED": plain.header("last-modified") or ""}
    headers = {
        name: re.sub("ETAG|MODIFIED", lambda found: validators[found[0]], value) for name, value in asked.items()
    }

    through, without = (stage.get(path, port, method, **headers) for port in (0, direct))

    assert (through.status, _common(through)) == (without.status, _common(without))
    if without.header("content-type") != "application/problem+json":
        assert through.body == without.body
    assert re.fullmatch("[0-9a-f]{32}", through.header("x-request-id") or "")


def _common(got: Got) -> list[tuple[str, str]]:
    """The headers that must be alike; the policy's directives come in another order from each process."""
    policy = "content-security-policy"
    alike = ((name, value) for name, value in got.headers if name not in ITS_OWN)
    return sorted((name, "; ".join(sorted(value.split("; "))) if name == policy else value) for name, value in alike)


# --- what arrives while it is sent


def test_a_cold_recording_is_heard_as_it_comes(stage: Stage) -> None:
    sid, audio = stage.recording("gate-body")
    live = stage.open(f"/api/recordings/{sid}/stream?live=1", Range="bytes=0-")
    try:
        assert (live.answer.status, live.answer.headers["Content-Length"]) == (206, str(SIZE))
        assert "X-Accel-Redirect" not in live.answer.headers
        first_half = live.answer.read(SIZE // 2)
        assert stage.status(sid) == "downloading"
        stage.provider.open_gate(f"bulk-{sid.lower()[:5]}-{sid[5:]}")
        assert first_half + live.answer.read() == audio.body
    finally:
        live.close()
    wait_until(lambda: stage.status(sid) == "ready", 10, "it is ready")
    after = stage.get(f"/api/recordings/{sid}/stream?live=1", Range="bytes=5-9", If_Range=live.answer.headers["ETag"])
    assert (after.status, after.header("etag"), after.body) == (206, live.answer.headers["ETag"], audio.body[5:10])


def test_a_body_that_breaks_off_is_a_broken_connection_and_never_an_end(stage: Stage) -> None:
    sid, audio = stage.recording("short-body", first=1, milliseconds=1000)
    live = stage.open(f"/api/recordings/{sid}/stream?live=1", Range="bytes=0-")
    try:
        assert live.answer.status == 206
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            live.answer.read()
    finally:
        live.close()
    resumed = stage.get(
        f"/api/recordings/{sid}/stream?live=1", Range=f"bytes={SIZE // 4}-", If_Range=live.answer.headers["ETag"]
    )
    assert (resumed.status, resumed.body) == (206, audio.body[SIZE // 4 :])


def test_events_come_through_at_once(stage: Stage) -> None:
    sid, _audio = stage.recording("gate-body")
    events = stage.open(f"/api/recordings/events?ids={sid}")
    try:
        assert events.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert _until(events, "event: snapshot")
        stage.acme.request("POST", f"/api/recordings/{sid}/download", {})
        began = time.monotonic()
        assert _until(events, '"status": "downloading"')  # the gate is shut: nothing follows that could push it
        assert time.monotonic() - began < 5
    finally:
        events.close()
        stage.provider.open_gate()


def _until(events: Open, words: str) -> bool:
    """Read up to the line that has these words; False where the stream ends before it."""
    return any(words in line.decode() for line in iter(events.answer.readline, b""))


# --- who may, and what is written down


def test_another_business_has_nothing_here_and_nobody_asks_for_files_by_name(
    stage: Stage, played: tuple[str, Audio]
) -> None:
    other = customer(stage.acme.service, stage.provider, "other")
    refused = stage.get(f"/api/recordings/{played[0]}/stream", token=other.token)
    assert (refused.status, json.loads(refused.body)["code"]) == (404, "not_found")
    [(file,)] = stage.acme.service.sql("SELECT recording_file FROM call_log WHERE call_sid = %s", played[0])
    assert (stage.acme.service.var / "recordings" / file).exists()
    for path in (f"{nginx.ACCEL}{file}", f"{nginx.ACCEL}../prosaasil.sqlite3", f"//_recordings/{file}", nginx.ACCEL):
        assert stage.get(path, X_Accel_Redirect=path).status == 404, path


def test_a_file_that_is_gone_is_found_missing_before_nginx_is_asked_for_it(stage: Stage) -> None:
    sid, _audio = stage.ready()
    [(file,)] = stage.acme.service.sql("SELECT recording_file FROM call_log WHERE call_sid = %s", sid)
    (stage.acme.service.var / "recordings" / file).unlink()
    answer = stage.get(f"/api/recordings/{sid}/stream")
    assert (answer.status, json.loads(answer.body)["status"]) == (202, "missing")  # cooling down


def test_what_nginx_may_not_read_is_a_problem_and_no_page(stage: Stage) -> None:
    sid, _audio = stage.ready()
    with nginx.running(stage.acme.service.port, stage.proxy.folder / "elsewhere") as misled:
        answer = stage.get(f"/api/recordings/{sid}/stream", misled.port)
    assert (answer.status, answer.header("retry-after")) == (503, "10")
    assert json.loads(answer.body)["code"] == "storage_away"


def test_when_the_service_does_not_answer_programs_get_a_problem(stage: Stage) -> None:
    with nginx.running(free_port(), stage.acme.service.var / "recordings") as alone:
        answer = stage.get("/api/calls/", alone.port, X_Request_ID="my-own-name-1")
        page = stage.get("/", alone.port)
    document = json.loads(answer.body)
    assert (answer.status, document["status"], document["code"]) == (503, 503, "away")
    assert document["request_id"] == "my-own-name-1"
    assert answer.header("content-type") == "application/problem+json"
    assert page.status == 502


def test_a_body_that_is_too_large_is_refused_as_without_nginx(stage: Stage, direct: int) -> None:
    answers = []
    for port in (stage.proxy.port, direct):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/api/recordings/X/download", headers={"Content-Length": "70000"})
        answer = connection.getresponse()
        document = json.loads(answer.read())
        answers.append((answer.status, document["code"], answer.headers["Content-Type"]))
        connection.close()
    assert answers == [(413, "body_too_large", "application/problem+json")] * 2


def test_no_query_and_no_token_is_logged(stage: Stage, played: tuple[str, Audio]) -> None:
    got = stage.get(f"/api/recordings/{played[0]}/stream?v=&secret=walrus", X_Request_ID="walk-in-the-log")
    assert got.status == 200
    stage.get("/api/calls/?search=walrus")
    sid, _audio = stage.recording("short-body", first=1, milliseconds=300)
    cut = stage.open(f"/api/recordings/{sid}/stream?live=1&secret=walrus", Range="bytes=0-")
    with suppress(http.client.IncompleteRead, ConnectionResetError):
        cut.answer.read()
    cut.close()
    wait_until(lambda: f"/api/recordings/{sid}/stream " in stage.proxy.log(), 10, "it is logged")
    log = stage.proxy.log()
    assert "GET /api/calls/ 200" in log
    assert f"GET /api/recordings/{played[0]}/stream 200" in log  # as it was asked for, and not the file's name
    for secret in ("walrus", "?", stage.acme.token, "Token"):
        assert secret not in log, secret
    assert "walk-in-the-log" in log
    assert got.header("x-request-id") == "walk-in-the-log"


def test_what_operators_ask_for_is_not_passed_on(stage: Stage) -> None:
    for path in ("/metrics", "/metrics/", "/readyz", "/%6detrics", "/./metrics", "//metrics"):
        assert stage.get(path).status == 404, path
    assert stage.get("/healthz").status == 200
    assert [stage.get(path, stage.acme.service.port).status for path in ("/metrics", "/readyz")] == [200, 200]
