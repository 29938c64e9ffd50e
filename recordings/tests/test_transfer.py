"""Deadlines, and ending a transfer from another thread wherever it is stuck. Over real sockets."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from recordings.download.errors import DownloadError, ProviderError, Stalled, TooLarge, Unreachable
from recordings.download.providers import Account
from recordings.download.providers.http import Client, Stopped, Transfer
from recordings.tests.fetching import AUDIO, PATIENT, Running, World, enter
from recordings.tests.raw_origin import body, drip, hang, head, wait_until


@pytest.fixture
def world() -> Iterator[World]:
    with World() as found:
        yield found


def test_silence_ends_with_the_read_time_out(world: World) -> None:
    world.origin.answer = hang()
    world.client.close()
    world.client = Client(2, frozenset({world.origin.place}), PATIENT, 0.1)
    world.fails(Stalled)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", head("200 OK", "Content-Length: 9") + b"x"])
def test_silence_ends_with_the_deadline(world: World, begun: bytes) -> None:
    world.origin.answer = hang(begun)
    world.fails(Stalled, Transfer(0.2, 1000))


def test_a_dripping_body_ends_with_the_deadline(world: World) -> None:
    world.origin.answer = drip(head("200 OK", "Content-Length: 1000000"), b"x")
    transfer = Transfer(0.3, 10**7)
    world.fails(Stalled, transfer)
    assert transfer.bytes_done > 1


def test_a_transfer_that_is_over_makes_no_request(world: World) -> None:
    world.fails(Stalled, Transfer(0, 1000))
    aborted = Transfer(60, 1000)
    aborted.abort(None)
    with pytest.raises(Stopped):
        world.get(transfer=aborted)
    assert world.origin.connections == 0


STUCK = {
    "before an answer": hang(),
    "in the headers": hang(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
    "in dripping headers": drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "in a dripping header": drip(b"HTTP/1.1 200 OK\r\n", b"X"),
    "in the body": hang(head("200 OK", "Content-Length: 100") + b"begun"),
    "in a body after which the provider closes": hang(
        head("200 OK", "Connection: close", "Content-Length: 100") + b"begun"
    ),
    "in a chunk": hang(head("200 OK", "Transfer-Encoding: chunked") + b"64\r\nbegun"),
    "in a chunk's dripping size": drip(head("200 OK", "Transfer-Encoding: chunked"), b"0"),
}


@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "used connection"])
@pytest.mark.parametrize("error", [Stalled("The deadline is over."), None], ids=["deadline", "given back"])
@pytest.mark.parametrize("where", STUCK)
def test_an_abort_reaches_a_transfer_that_is_stuck(
    world: World, where: str, error: DownloadError | None, reused: bool
) -> None:
    if reused:
        world.get()
    world.origin.answer = STUCK[where]
    before = len(world.origin.requests)
    running = Running(lambda transfer: world.get(transfer=transfer))
    wait_until(lambda: len(world.origin.requests) > before)
    if "body" in where or where == "in a chunk":
        wait_until(lambda: running.transfer.bytes_done > 0)
    running.transfer.abort(error)
    running.transfer.abort(TooLarge())  # only the first counts
    ended = running.ended_with()
    assert ended is error if error else isinstance(ended, Stopped)
    connections = world.origin.connections
    world.origin.answer = body(AUDIO)
    assert world.get() == AUDIO
    assert world.origin.connections == connections + 1


@pytest.mark.parametrize("keep_alive", [True, False])
def test_the_rest_of_a_refusal_is_not_waited_for(world: World, keep_alive: bool) -> None:
    world.origin.answer = hang(
        head("503 Later", "Content-Length: 5" if keep_alive else "X: y", "Retry-After: 9") + b"x"
    )
    assert world.fails(ProviderError).retry_after == 9.0
    world.origin.answer = body(AUDIO)
    assert world.get() == AUDIO


def test_an_abort_reaches_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, release = threading.Event(), threading.Event()

    def getaddrinfo(*_: object, **__: object) -> list[object]:
        asked.set()
        release.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    client = Client(2, frozenset(), PATIENT, PATIENT)
    account = Account("generic", "https://slow.example", ("slow.example",), "none", "", "")
    running = Running(lambda transfer: enter(client, account, "https://slow.example/", transfer))
    assert asked.wait(30)
    running.transfer.abort(None)
    assert isinstance(running.ended_with(), Stopped)
    release.set()
    client.close()


def test_a_slow_look_up_ends_with_the_connect_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(60) and [])
    client = Client(2, frozenset(), 0.1, PATIENT)
    account = Account("generic", "https://slow.example", ("slow.example",), "none", "", "")
    with pytest.raises(Unreachable, match="took too long"):
        enter(client, account, "https://slow.example/", Transfer(PATIENT, 1000))
    release.set()
    client.close()


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a listener whose queue is full: to connect to it takes for ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        filling = [socket.socket() for _ in range(4)]
        for sock in filling:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        yield port
        for sock in filling:
            sock.close()


def connecting(port: int) -> int:
    """How many sockets of this machine are in SYN-SENT towards a port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "02")


def test_an_abort_reaches_a_connect(full: int) -> None:
    place = f"127.0.0.1:{full}"
    wait_until(lambda: connecting(full) > 0)
    before = connecting(full)
    client = Client(2, frozenset({place}), PATIENT, PATIENT)
    account = Account("generic", f"http://{place}", (place,), "none", "", "")
    running = Running(lambda transfer: enter(client, account, f"http://{place}/", transfer))
    wait_until(lambda: connecting(full) > before)
    running.transfer.abort(None)
    assert isinstance(running.ended_with(), Stopped)
    client.close()


def test_a_slow_connect_ends_with_its_time_out_or_the_deadline(full: int) -> None:
    place = f"127.0.0.1:{full}"
    wait_until(lambda: connecting(full) > 0)
    account = Account("generic", f"http://{place}", (place,), "none", "", "")
    for client, transfer, kind in (
        (Client(2, frozenset({place}), 0.1, PATIENT), Transfer(PATIENT, 1000), Unreachable),
        (Client(2, frozenset({place}), PATIENT, PATIENT), Transfer(0.1, 1000), Stalled),
    ):
        with pytest.raises(kind):
            enter(client, account, f"http://{place}/", transfer)
        client.close()


def test_an_abort_reaches_a_tls_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        client = Client(2, frozenset({place}), PATIENT, PATIENT)
        account = Account("generic", f"https://{place}", (place,), "none", "", "")
        running = Running(lambda transfer: enter(client, account, f"https://{place}/", transfer))
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b"\x16"  # its hello is here, and nothing answers
            running.transfer.abort(None)
            assert isinstance(running.ended_with(), Stopped)
        client.close()


def test_an_abort_after_the_end_leaves_the_connection_to_others(world: World) -> None:
    first = Transfer(60, 10**7)
    world.get(transfer=first)
    world.origin.answer = hang(head("200 OK", f"Content-Length: {len(AUDIO)}") + AUDIO[:1000])
    running = Running(lambda transfer: world.get(transfer=transfer))
    wait_until(lambda: running.transfer.bytes_done == 1000)
    first.abort(None)
    world.origin.answer = body(AUDIO)
    assert world.get() == AUDIO
    assert running.error is None
    running.transfer.abort(None)
    assert isinstance(running.ended_with(), Stopped)


def test_an_abort_between_the_last_byte_and_the_end_keeps_the_connection_usable(world: World) -> None:
    transfer = Transfer(60, 10**7)
    with world.client.fetch(world.account, world.origin.url, transfer) as found:
        assert b"".join(found.chunks()) == AUDIO
        transfer.abort(None)
    assert world.get() == AUDIO
    assert world.origin.connections == 1


def test_what_we_rest_by_our_own_wish_does_not_count_to_the_deadline() -> None:
    transfer = Transfer(0.2, 100)
    transfer.rest(0.3)
    assert 0 < transfer.left <= 0.2


def test_a_rest_ends_when_the_transfer_is_given_back() -> None:
    transfer = Transfer(60, 100)
    threading.Timer(0.05, transfer.abort, [None]).start()
    with pytest.raises(Stopped):
        transfer.rest(600)
