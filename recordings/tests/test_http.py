"""One recording over HTTP, on real sockets: what is whole, what ends a transfer, and who gets the credentials."""

import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recordings.download.errors import (
    CutShort,
    DownloadError,
    Gone,
    HostNotAllowed,
    NotYet,
    ProviderError,
    RateLimited,
    TooLarge,
    TooManyRedirects,
    Unauthorised,
    Unreachable,
)
from recordings.download.providers import Account
from recordings.download.providers.http import Client, Stopped, Transfer
from recordings.tests.fetching import AUDIO, BASIC, PATIENT, Running, World, enter
from recordings.tests.raw_origin import Answer, RawOrigin, body, drip, hang, head, reset, send, wait_until


@pytest.fixture
def world() -> Iterator[World]:
    with World() as found:
        yield found


# What is whole


def test_a_body_with_a_length_arrives_whole(world: World) -> None:
    transfer = Transfer(60, 10**7)
    with world.client.fetch(world.account, world.origin.url + "/a.wav", transfer) as found:
        assert (found.status, found.total) == (200, len(AUDIO))
        assert transfer.bytes_total == len(AUDIO)
        assert b"".join(found.chunks()) == AUDIO
    assert transfer.bytes_done == len(AUDIO)


def test_a_chunked_body_arrives_whole_and_its_connection_is_used_again(world: World) -> None:
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (AUDIO[:10], AUDIO[10:99_999], AUDIO[99_999:]))
    world.origin.answer = send(head("200 OK", "Transfer-Encoding: Chunked") + parts + b"0\r\n\r\n", keep=True)
    transfer = Transfer(60, 10**7)
    assert world.get(transfer=transfer) == AUDIO
    assert transfer.bytes_total is None
    assert world.get() == AUDIO
    assert world.origin.connections == 1


@pytest.mark.parametrize("fields", [["Connection: close"], []], ids=["it says so", "it just closes"])
def test_a_provider_that_closes_after_each_answer_serves_whole_bodies(world: World, fields: list[str]) -> None:
    world.origin.answer = send(head("200 OK", f"Content-Length: {len(AUDIO)}", *fields) + AUDIO)
    assert world.get() == AUDIO
    assert world.get() == AUDIO


def test_an_empty_body_with_a_length_is_whole(world: World) -> None:
    world.origin.answer = body(b"")
    assert world.get() == b""


def test_pieces_are_given_out_as_they_come(world: World) -> None:
    world.origin.answer = hang(head("200 OK", "Content-Length: 100") + b"first")
    transfer = Transfer(60, 1000)
    with world.client.fetch(world.account, world.origin.url, transfer) as found:
        assert next(found.chunks()) == b"first"
        assert transfer.bytes_done == 5


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (send(head("200 OK", "Content-Length: 100") + b"short"), CutShort),
        (send(head("200 OK", "Transfer-Encoding: chunked") + b"5\r\nabcde\r\n"), CutShort),
        (send(head("200 OK", "Transfer-Encoding: chunked") + b"9\r\nabcde"), CutShort),
        (send(head("200 OK", "Transfer-Encoding: chunked") + b"-5\r\nabcde\r\n0\r\n\r\n"), CutShort),
        (send(head("200 OK", "Transfer-Encoding: chunked") + b"no\r\nabcde\r\n0\r\n\r\n"), CutShort),
        (send(head("200 OK") + b"until the connection closes"), CutShort),
        (send(head("200 OK", "Connection: close") + b"until the connection closes"), CutShort),
        (send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Le"), CutShort),
        (send(b"HTTP/1.1 200 OK\r\nContent-Length: 1"), CutShort),
        (send(b"HTTP/1.1 200 OK\r\n"), CutShort),
        (send(b"HTTP/1.1 20"), CutShort),
        (send(b"SSH-2.0-OpenSSH_9.2\r\n"), CutShort),
        (send(b"\x00\x01\x02\x03\r\n\r\n"), CutShort),
        (send(b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n"), CutShort),
        (send(head("200 OK", *(f"X-{n}: y" for n in range(200))) + b"x"), CutShort),
        (send(b""), Unreachable),
        (reset(), Unreachable),
        (reset(head("200 OK", "Content-Length: 100") + b"short"), Unreachable),
        (body(b"x", "Content-Length: 2"), ProviderError),
        (body(b"x", "Content-Length: 1"), ProviderError),
        (send(head("200 OK", "Content-Length: 1, 2") + b"x"), ProviderError),
        (send(head("200 OK", "Content-Length: -1") + b"x"), ProviderError),
        (send(head("200 OK", "Content-Length: +1") + b"x"), ProviderError),
        (send(head("200 OK", "Content-Length: 0x1") + b"x"), ProviderError),
        (send(head("200 OK", "Content-Length: ") + b"x"), ProviderError),
        (send(head("200 OK", "Content-Length: " + "9" * 5000) + b"x"), ProviderError),
        (body(b"1\r\nx\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), ProviderError),
        (send(head("200 OK", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"), ProviderError),
        (
            send(head("200 OK", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
            ProviderError,
        ),
        (send(head("200 OK", "Transfer-Encoding: identity") + b"x"), ProviderError),
        (send(head("200 OK", "Transfer-Encoding: chunked").replace(b"1.1", b"1.0") + b"0\r\n\r\n"), ProviderError),
        (body(b"\x1f\x8b", "Content-Encoding: gzip"), ProviderError),
        (body(b"x", "Content-Encoding: br"), ProviderError),
        (send(head("200 OK", "Content-Length: 5") + b"longer than that", keep=True), ProviderError),
        (body(b"x", status="206 Partial Content"), ProviderError),
        (body(b"x", status="203 Non-Authoritative"), ProviderError),
        (send(head("204 No Content"), keep=True), ProviderError),
        (send(head("304 Not Modified"), keep=True), ProviderError),
        (body(b"x", status="302 Found"), ProviderError),
        (body(b"x", status="400 Bad Request"), ProviderError),
        (body(b"x", status="500 Oops"), ProviderError),
        (body(b"x", status="503 Later"), ProviderError),
        (body(b"x", status="401 Who?"), Unauthorised),
        (body(b"x", status="403 No"), Unauthorised),
        (body(b"x", status="404 Where?"), NotYet),
        (body(b"x", status="410 Gone"), Gone),
        (body(b"x", status="429 Slower"), RateLimited),
    ],
)
def test_what_is_not_surely_a_whole_recording_is_an_error_that_keeps_secrets(
    world: World, answer: Answer, kind: type[DownloadError], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world.origin.answer = answer
    error = world.fails(kind)
    assert error.detail
    for text in (error.detail, str(error), repr(error), caplog.text):
        assert "hush" not in text
        assert BASIC not in text
    world.origin.answer = body(AUDIO)
    assert world.get() == AUDIO


def test_line_ends_after_the_body_are_forgiven(world: World) -> None:
    world.origin.answer = send(head("200 OK", "Content-Length: 5") + b"exact\r\n", keep=True)
    assert [world.get(), world.get()] == [b"exact", b"exact"]
    assert world.origin.connections == 1


def test_the_status_of_a_refusal_is_told(world: World) -> None:
    world.origin.answer = body(b"x", status="418 Teapot")
    assert world.fails(ProviderError).http_status == 418


# Size


def test_a_body_that_announces_too_much_is_refused_before_it_is_read(world: World) -> None:
    world.origin.answer = hang(head("200 OK", "Content-Length: 1000001"))
    transfer = Transfer(60, 10**6)
    world.fails(TooLarge, transfer)
    assert transfer.bytes_done == 0


def test_an_endless_body_is_refused_at_the_limit(world: World) -> None:
    world.origin.answer = drip(head("200 OK", "Transfer-Encoding: chunked"), b"ffff\r\n" + bytes(65535) + b"\r\n")
    transfer = Transfer(60, 200_000)
    world.fails(TooLarge, transfer)
    assert transfer.bytes_done <= 200_000 + 262_144


# Retry-After


@pytest.mark.parametrize(
    ("status", "kind"),
    [("429 A", RateLimited), ("503 B", ProviderError), ("500 C", ProviderError), ("404 D", NotYet)],
)
def test_a_wish_to_wait_is_passed_on(world: World, status: str, kind: type[DownloadError]) -> None:
    world.origin.answer = body(b"", "Retry-After: 120", status=status)
    assert world.fails(kind).retry_after == 120.0


# Validators


LATER = "Date: Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    ("fields", "validator"),
    [
        (['ETag: "abc"'], '"abc"'),
        (['ETag: W/"abc"'], None),
        (["ETag: abc"], None),
        (['ETag: "' + "x" * 300 + '"'], None),
        (['ETag: W/"abc"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", LATER], "Sun, 06 Nov 1994 08:49:37 GMT"),
        (["Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT", LATER], None),
        (["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"], None),
        (["Last-Modified: once", LATER], None),
        ([], None),
    ],
)
def test_what_names_the_contents_version_is_told(world: World, fields: list[str], validator: str | None) -> None:
    world.origin.answer = body(b"x", *fields, "Content-Type: Audio/X-WAV; rate=8000")
    transfer = Transfer(60, 1000)
    with world.client.fetch(world.account, world.origin.url, transfer) as found:
        assert found.validator == transfer.validator == validator


# Requests and credentials


def test_one_request_is_made_with_credentials_and_without_surprises(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    world.get("/a%2Fb.wav?c=d%20e#f")
    (request,) = world.origin.requests
    lines = request.split("\r\n")
    assert lines[0] == "GET /a%2Fb.wav?c=d%20e HTTP/1.1"
    assert sorted(lines[1:]) == [
        "Accept-Encoding: identity",
        f"Authorization: {BASIC}",
        f"Host: {world.origin.place}",
        "User-Agent: prosaasil",
    ]


def test_an_account_without_credentials_sends_none_even_with_a_netrc(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    world.account = Account("generic", world.origin.url, (world.origin.place,), "none", "me", "hush-hush")
    world.get()
    assert "authorization" not in world.origin.requests[0].lower()


def test_cookies_are_not_kept(world: World) -> None:
    world.origin.answer = body(b"x", "Set-Cookie: session=1; Path=/")
    world.get()
    world.get()
    assert "cookie" not in world.origin.requests[1].lower()


def test_connections_are_used_again(world: World) -> None:
    for _ in range(5):
        world.get()
    assert world.origin.connections == 1


def test_a_request_is_sent_again_when_its_idle_connection_was_just_closed(world: World) -> None:
    served: set[socket.socket] = set()

    def once_a_connection(origin: RawOrigin, connection: socket.socket, path: str) -> bool:
        if connection in served:
            return False
        served.add(connection)
        return body(AUDIO)(origin, connection, path)

    world.origin.answer = once_a_connection
    assert [world.get(), world.get(), world.get()] == [AUDIO] * 3
    assert (len(world.origin.requests), world.origin.connections) == (5, 3)


def test_a_request_is_sent_again_once_only_though_there_are_more_idle_connections(world: World) -> None:
    together = threading.Barrier(3)

    def meet(origin: RawOrigin, connection: socket.socket, path: str) -> bool:
        together.wait(30)
        return body(AUDIO)(origin, connection, path)

    world.origin.answer = meet
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: world.get(), range(3)))
    world.origin.answer = reset()
    world.fails(Unreachable)
    assert (len(world.origin.requests), world.origin.connections) == (5, 4)


def test_a_request_over_a_new_connection_is_not_sent_again(world: World) -> None:
    world.origin.answer = reset()
    world.fails(Unreachable)
    assert len(world.origin.requests) == 1


def test_many_threads_share_the_pool(world: World) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda n: world.get(f"/{n}"), range(80))) == {AUDIO}
    assert len(world.origin.requests) == 80
    assert world.origin.connections <= 8


def test_a_body_that_is_left_unread_costs_its_connection_only(world: World) -> None:
    with world.client.fetch(world.account, world.origin.url, Transfer(60, 10**7)) as found:
        next(found.chunks())
    assert world.get() == AUDIO
    assert world.origin.connections == 2


def test_an_error_of_the_reader_closes_the_transfer(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.client.fetch(world.account, world.origin.url, Transfer(60, 10**7)):
        raise ZeroDivisionError
    assert world.get() == AUDIO


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.2"])
def test_another_host_is_refused_without_a_request(world: World, host: str) -> None:
    url = f"http://{host}:{world.origin.port}/?token=hush"
    with pytest.raises(HostNotAllowed) as caught:
        enter(world.client, world.account, url, Transfer(60, 1000))
    assert "hush" not in caught.value.detail
    assert world.origin.connections == 0


def test_a_host_that_the_settings_do_not_name_is_refused_though_the_account_has_it(world: World) -> None:
    client = Client(2, frozenset(), 5, 5)
    with pytest.raises(HostNotAllowed), client.fetch(world.account, world.origin.url, Transfer(60, 1000)):
        pass
    client.close()
    assert world.origin.connections == 0


# Redirects


def redirects(*locations: str, status: str = "302 Found") -> Answer:
    """/0 leads to the first location, /1 to the second …; anything else is the audio."""

    def answer(origin: RawOrigin, connection: socket.socket, path: str) -> bool:
        step = path[1:2]
        if step.isdigit() and int(step) < len(locations):
            fields = [f"Location: {locations[int(step)]}", "Content-Length: 5"]
            connection.sendall(head(status, *fields) + b"moved")
            return True
        return body(AUDIO)(origin, connection, path)

    return answer


@pytest.mark.parametrize("status", ["301 A", "302 B", "303 C", "307 D", "308 E"])
def test_three_redirects_are_followed_over_one_connection(world: World, status: str) -> None:
    world.origin.answer = redirects("/1", "2?x=y", f"http://{world.origin.place}/a.wav", status=status)
    assert world.get("/0") == AUDIO
    assert [request.split(" ")[1] for request in world.origin.requests] == ["/0", "/1", "/2?x=y", "/a.wav"]
    assert all(BASIC in request for request in world.origin.requests)
    assert world.origin.connections == 1


def test_a_fourth_redirect_is_too_many(world: World) -> None:
    world.origin.answer = redirects("/1", "/2", "/3", "/4")
    with pytest.raises(TooManyRedirects):
        world.get("/0")
    assert len(world.origin.requests) == 4


def test_a_loop_is_too_many(world: World) -> None:
    world.origin.answer = redirects("/0")
    with pytest.raises(TooManyRedirects):
        world.get("/0")
    assert len(world.origin.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:PORT/a.wav",
        "//localhost:PORT/a.wav",
        "https://127.0.0.1/a.wav",
        "http://127.0.0.2:PORT/a.wav",
        "http://127.1:PORT/a.wav",
        "http://2130706433:PORT/a.wav",
        "http://[::1]:PORT/a.wav",
        "http://me@127.0.0.1:PORT/a.wav",
        "http://127.0.0.1:PORT\\@evil.example/",
        "http://127.0.0.1\t:PORT/a.wav",
        "http://evil.example/a.wav",
        "https://evil.example/a.wav?token=hush",
        "file:///etc/passwd",
        "http://[/",
        "ht\ttp://evil.example/",
        "http://\xe9vil.example/",
    ],
)
def test_a_redirect_elsewhere_is_refused_and_not_followed(world: World, location: str) -> None:
    world.origin.answer = redirects(location.replace("PORT", str(world.origin.port)))
    with pytest.raises(HostNotAllowed) as caught:
        world.get("/0")
    assert "hush" not in caught.value.detail
    assert [request.split(" ")[1] for request in world.origin.requests] == ["/0"]


def test_credentials_stay_with_the_accounts_own_scheme_host_and_port(world: World) -> None:
    with RawOrigin(redirects()) as other:
        home, away = world.origin, other
        home.answer = redirects(f"{away.url}/1", "", f"{away.url}/a.wav")
        away.answer = redirects("", f"{home.url}/2")
        client = Client(4, frozenset({home.place, away.place}), 5, 5)
        account = Account("generic", home.url, (home.place, away.place), "basic", "me", "hush-hush")
        with client.fetch(account, home.url + "/0", Transfer(60, 10**7)) as found:
            assert b"".join(found.chunks()) == AUDIO
        client.close()
        assert [BASIC in request for request in home.requests] == [True, True]
        assert ["authorization" in request.lower() for request in away.requests] == [False, False]


def test_a_recording_on_another_host_of_the_account_is_asked_for_without_credentials(world: World) -> None:
    account = Account("generic", "https://api.example.com", (world.origin.place,), "bearer", "", "hush-hush")
    with world.client.fetch(account, world.origin.url + "/a.wav", Transfer(60, 10**7)) as found:
        assert b"".join(found.chunks()) == AUDIO
    assert "authorization" not in world.origin.requests[0].lower()


# Not reached


def test_a_closed_port_is_unreachable(world: World) -> None:
    world.origin.__exit__(None, None, None)
    assert "refused" in world.fails(Unreachable).detail.lower()


def test_a_name_that_does_not_exist_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    client = Client(2, frozenset(), 5, 5)
    account = Account("generic", "https://none.example", ("none.example",), "none", "", "")
    with pytest.raises(Unreachable, match="Name or service not known"):
        enter(client, account, "https://none.example/", Transfer(60, 1000))
    client.close()


def test_a_name_is_looked_up_once_for_each_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def getaddrinfo(host: bytes, port: int, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    place = f"rec.example:{world.origin.port}"
    client = Client(2, frozenset({place}), 5, 5)
    account = Account("generic", f"http://{place}", (place,), "basic", "me", "hush-hush")
    for _ in range(3):
        with client.fetch(account, f"http://{place}/", Transfer(60, 10**7)) as found:
            assert b"".join(found.chunks()) == AUDIO
    client.close()
    assert asked == [b"rec.example"]
    assert f"Host: {place}" in world.origin.requests[0]


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for rec.example, signed by itself, with its key in one file."""
    path = tmp_path_factory.mktemp("tls") / "rec.pem"
    key = path.with_suffix(".key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=rec.example", "-addext", "subjectAltName=DNS:rec.example", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", path], check=True, capture_output=True)
    return path


@pytest.fixture
def tls_origin(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawOrigin]:
    """A TLS provider with that certificate, which every name leads to. Notes the names that were asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda _host, port, **_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))],
    )
    with RawOrigin(body(AUDIO), tls=context) as origin:
        yield origin


def fetch_over_tls(origin: RawOrigin, host: str, ca_file: Path | None) -> bytes:
    place = f"{host}:{origin.port}"
    client = Client(2, frozenset({place}), 30, 30, ca_file=ca_file)
    account = Account("generic", f"https://{place}", (place,), "basic", "me", "hush-hush")
    try:
        with client.fetch(account, f"https://{place}/a.wav", Transfer(60, 10**7)) as found:
            return b"".join(found.chunks())
    finally:
        client.close()


def test_a_recording_comes_over_tls(tls_origin: RawOrigin, certificate: Path) -> None:
    assert fetch_over_tls(tls_origin, "rec.example", certificate) == AUDIO
    assert BASIC in tls_origin.requests[0]


def test_a_body_longer_than_announced_is_noticed_over_tls(tls_origin: RawOrigin, certificate: Path) -> None:
    tls_origin.answer = send(head("200 OK", "Content-Length: 5") + b"longer than that", keep=True)
    with pytest.raises(ProviderError):
        fetch_over_tls(tls_origin, "rec.example", certificate)


def test_a_body_cut_under_tls_is_noticed(tls_origin: RawOrigin, certificate: Path) -> None:
    tls_origin.answer = send(head("200 OK", "Content-Length: 50") + b"short")
    with pytest.raises(CutShort):
        fetch_over_tls(tls_origin, "rec.example", certificate)


def test_a_certificate_that_nobody_signed_is_unreachable(tls_origin: RawOrigin) -> None:
    with pytest.raises(Unreachable, match=r"self.signed"):
        fetch_over_tls(tls_origin, "rec.example", None)
    assert tls_origin.requests == []


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
def test_a_certificate_for_another_name_is_unreachable(tls_origin: RawOrigin, certificate: Path, host: str) -> None:
    with pytest.raises(Unreachable, match=r"mismatch|doesn't match|not valid"):
        fetch_over_tls(tls_origin, host, certificate)
    assert tls_origin.requests == []


def test_a_port_that_does_not_speak_tls_is_unreachable(world: World) -> None:
    account = Account("generic", world.origin.url, (world.origin.place,), "basic", "me", "hush-hush")
    with pytest.raises(Unreachable):
        enter(world.client, account, f"https://{world.origin.place}/", Transfer(60, 1000))


def test_an_abort_reaches_a_body_under_tls(tls_origin: RawOrigin, certificate: Path) -> None:
    tls_origin.answer = hang(head("200 OK", "Content-Length: 100") + b"begun")
    place = f"rec.example:{tls_origin.port}"
    client = Client(2, frozenset({place}), PATIENT, PATIENT, ca_file=certificate)
    account = Account("generic", f"https://{place}", (place,), "none", "", "")
    running = Running(lambda transfer: enter(client, account, f"https://{place}/", transfer))
    wait_until(lambda: running.transfer.bytes_done > 0)
    running.transfer.abort(None)
    assert isinstance(running.ended_with(), Stopped)
    client.close()
