"""Connections: kept, bounded, on loopback, and all ended by a stop."""

import threading

import pytest

from demo.provider import Provider
from demo.tests.client import Client


def test_a_connection_is_used_again(provider: Provider, wire: Client) -> None:
    assert [wire.ask(f"/recordings/hello-{number}").status for number in range(50)] == [200] * 50
    assert provider.connections == 1
    assert provider.counts.total().bodies == 50


def test_requests_may_be_sent_before_their_answers(wire: Client) -> None:
    wire.send("/recordings/hello-1", "HEAD")
    wire.send("/recordings/hello-2", "HEAD")
    raw = b""
    while raw.count(b"\r\n\r\n") < 2:
        raw += wire.sock.recv(65536)
    assert raw.count(b"HTTP/1.1 200 OK") == 2


def test_connection_close_is_obeyed(wire: Client) -> None:
    assert wire.ask("/recordings/hello", Connection="close").status == 200
    assert wire.read().end == "closed"


def test_one_connection_too_many_is_told_so() -> None:
    with Provider(most_connections=2) as provider, Client(provider) as one, Client(provider) as two:
        assert one.ask("/recordings/hello").status == 200
        assert two.ask("/recordings/hello").status == 200
        with Client(provider) as three:
            assert three.read().status == 503


def test_sixty_four_connections_are_answered_at_once(provider: Provider) -> None:
    provider.misbehave("*", "gate-start")
    clients = [Client(provider) for _ in range(64)]
    for number, wire in enumerate(clients):
        wire.send(f"/recordings/bulk-{number}")
    assert provider.counts.wait(lambda: provider.counts.at_once == 64, 10)
    provider.open_gate()
    for number, wire in enumerate(clients):
        with wire:
            assert wire.read().body == provider.audio(f"/recordings/bulk-{number}").body
    assert provider.counts.most_at_once == 64
    assert provider.counts.total().bodies == 64


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "192.168.1.1", "example.com"])
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match=r"loopback|IPv4"):
        Provider(host=host)


def test_a_taken_port_is_an_error(provider: Provider) -> None:
    with pytest.raises(OSError, match="in use"):
        Provider(port=provider.port).start()


def test_it_can_be_stopped_and_started_again_on_its_port(provider: Provider) -> None:
    port = provider.port
    provider.stop()
    provider.stop()
    with pytest.raises(ConnectionRefusedError):
        Client(provider)
    provider.start()
    assert provider.port == port
    with Client(provider) as wire:
        assert wire.ask("/recordings/hello").status == 200


def test_a_stop_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with Provider() as provider, Client(provider) as wire:
        wire.ask("/recordings/hello")
    assert set(threading.enumerate()) <= before
