"""A request to ourselves, so that the web server looks at its queue again while answers are held.

granian starts a thread for a request when more wait than threads are idle, counted at that moment. A thread that has
just taken a request and is still counted as idle hides one that waits, and each later request only brings on the one
before it. So the last of many who begin to listen together now and then has no thread until somebody else's answer
ends (granian 2.8, src/blocking.rs). One more request is all that it needs.
"""

import socket
from contextlib import suppress

from django.conf import settings

EVERY = 0.5
"""Seconds between two, while requests are held."""

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound
_REQUEST = b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Doorbell:
    """Rings at our own door. Nobody waits for what is answered."""

    def __init__(self) -> None:
        self._last: socket.socket | None = None

    def ring(self) -> None:
        """Never raises, and never waits: the kernel takes the connection, whoever is busy."""
        self.leave()
        if settings.PROSAASIL_ROLE != "web":
            return
        with suppress(OSError):
            self._last = socket.create_connection((_ANY.get(settings.BIND, settings.BIND), settings.PORT), timeout=0.05)
            self._last.sendall(_REQUEST)

    def leave(self) -> None:
        """Hang up. Harmless when repeated."""
        if self._last is not None:
            self._last.close()
            self._last = None
