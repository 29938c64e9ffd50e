"""Holding a port."""

import socket

import pytest

from prosaasil.supervisor import ports


def test_a_held_port_can_be_served_by_a_server_that_shares() -> None:
    port = ports.free_port()
    with ports.hold(ports.LOOPBACK, port), socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((ports.LOOPBACK, port))
        server.listen()
        with socket.create_connection((ports.LOOPBACK, port), timeout=10):
            server.settimeout(10)
            server.accept()[0].close()


def test_a_held_port_can_not_be_held_twice_though_nobody_listens() -> None:
    port = ports.free_port()
    with ports.hold(ports.LOOPBACK, port), pytest.raises(ports.PortTaken, match=f"127.0.0.1:{port}: Address already"):
        ports.hold(ports.LOOPBACK, port)
    ports.hold(ports.LOOPBACK, port).close()


@pytest.mark.parametrize("address", [ports.LOOPBACK, "0.0.0.0"])
def test_a_port_that_somebody_listens_on_is_taken(address: str) -> None:
    with socket.create_server((address, 0)) as server, pytest.raises(ports.PortTaken):
        ports.hold(ports.LOOPBACK, server.getsockname()[1])


def test_connections_that_are_just_over_do_not_count() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((ports.LOOPBACK, port)) as client:
            server.accept()[0].close()  # the server closes first: TIME_WAIT is on its side
            assert client.recv(1) == b""
    ports.hold(ports.LOOPBACK, port).close()


def test_an_address_of_another_machine_can_not_be_held() -> None:
    with pytest.raises(ports.PortTaken):
        ports.hold("192.0.2.1", 8000)


def test_the_last_free_port_is_taken_again_and_another_one_when_it_is_in_use() -> None:
    port = ports.free_port()
    assert ports.free_port(port) == port
    with socket.create_server((ports.LOOPBACK, port)):
        assert ports.free_port(port) != port
