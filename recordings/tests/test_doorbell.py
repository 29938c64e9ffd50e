"""While answers are held, the server is asked again, so that nobody waits for a thread that nobody starts."""

import socket
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from prosaasil.supervisor.ports import LOOPBACK, free_port
from recordings.playback.doorbell import Doorbell

pytestmark = pytest.mark.once


@pytest.fixture
def door(settings: Settings) -> Iterator[socket.socket]:
    settings.PROSAASIL_ROLE, settings.BIND = "web", "0.0.0.0"
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(10)
        settings.PORT = server.getsockname()[1]
        yield server


def test_it_asks_for_next_to_nothing_and_hangs_up_the_next_time(door: socket.socket) -> None:
    bell = Doorbell()
    bell.ring()
    first, _ = door.accept()
    assert first.recv(1000).startswith(b"HEAD /healthz HTTP/1.1\r\n")
    bell.ring()
    second, _ = door.accept()
    assert first.recv(1000) == b""
    assert second.recv(1000)
    bell.leave()
    assert second.recv(1000) == b""
    for taken in (first, second):
        taken.close()


def test_nobody_at_the_door_is_fine_and_a_process_without_one_does_not_ring(settings: Settings) -> None:
    bell = Doorbell()
    settings.PROSAASIL_ROLE, settings.PORT = "web", free_port()
    bell.ring()
    settings.PROSAASIL_ROLE = "command"
    bell.ring()
    assert bell._last is None
