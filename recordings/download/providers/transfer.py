"""One transfer's life: its deadline, its progress, and the way to end it from another thread."""

import contextlib
import math
import os
import socket
import threading
from time import monotonic

from recordings.download.errors import DownloadError, Stalled
from recordings.download.providers.answers import Rest


class Stopped(Exception):
    """The transfer was given back: nothing failed."""


class Transfer:
    """Made by the thread that watches, used by one thread that downloads. What has no underscore may be read by any."""

    def __init__(self, deadline: float, max_bytes: int) -> None:
        """`deadline`: seconds from now to the last byte: name look-up included, what we `rest` left out."""
        self.started = monotonic()
        self.max_bytes = max_bytes
        self.bytes_done = 0
        self.bytes_total: int | None = None
        self.validator: str | None = None
        self.version = 0
        self.content_type: str | None = None
        """What the first bytes look like ("" for nothing that we know); None until they are here."""
        self.good_until = math.inf
        """Until when (monotonic) the lease is good; past it the transfer stops itself. Renewed by who watches."""
        self._ends = self.started + deadline
        self._lock = threading.Lock()
        self._error: DownloadError | Stopped | None = None
        self._sock: socket.socket | None = None
        self._handle: int | None = None
        self._limit = math.inf
        self._waiting: threading.Event | None = None

    @property
    def left(self) -> float:
        """Seconds to the deadline; negative after it."""
        return self._ends - monotonic()

    def goes_on(self, rest: Rest) -> None:
        """The body that begins now continues what is here; without a request, when nothing is missing."""
        self.bytes_done, self.bytes_total, self.validator = rest.start, rest.total, rest.validator

    def abort(self, error: DownloadError | None) -> None:
        """End it from any thread; the fetch raises `error` (None: Stopped). The first one counts; never blocks.

        The socket is shut, which wakes a thread that connects, shakes hands or reads. What that thread then gets may
        look like an answer (a shut connection ends the headers early), so it asks `check` after every step.
        """
        with self._lock:
            if self._error is not None:
                return
            self._error = Stopped() if error is None else error
            if self._waiting is not None:
                self._waiting.set()
            if self._handle is not None:
                sock = socket.socket(fileno=self._handle)  # no duplicate: there may be no descriptor left for one
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # it may be gone already
                sock.detach()

    def check(self) -> None:
        """Raise what it was aborted with, Stopped when the lease was not renewed in time, Stalled after the deadline.

        The lease is looked at here too, because who renews it may be held up by the very database that it asks.
        """
        if self._error is not None:
            raise self._error
        if monotonic() > self.good_until:
            raise Stopped
        if self.left <= 0:
            raise Stalled

    def wait(self, event: threading.Event, timeout: float) -> None:
        """Wait for an event no longer than `timeout` seconds, the deadline or the abort. Raises as `check` does."""
        with self._lock:
            self._waiting = event
            if self._error is not None:
                raise self._error
        event.wait(min(timeout, max(self.left, 0)))
        with self._lock:
            self._waiting = None
        self.check()

    def rest(self, seconds: float) -> None:
        """Wait because we wish to, not the provider: the deadline moves with it. Raises as `check` does."""
        self._ends += seconds
        self.wait(threading.Event(), seconds)

    def hold(self, sock: socket.socket) -> None:
        """From now on `abort` shuts this connection. Raises as `check` does.

        It holds a duplicate: TLS moves the descriptor into another object and the library closes it as it likes, but
        the duplicate is ours until `let_go`, so that no other connection can ever be shut by mistake.
        """
        handle = os.dup(sock.fileno())
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
            self._handle, self._sock, self._limit = handle, sock, math.inf
        self.check()

    def let_go(self) -> bool:
        """Forget the connection; from now on `abort` leaves it alone. False when it has been aborted before."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
            self._handle = self._sock = None
            return self._error is None

    def limit_read(self, timeout: float) -> None:
        """Let the next read last at most `timeout` seconds, and not longer than the deadline."""
        limit = min(timeout, self.left)
        if limit < self._limit and self._sock is not None:
            self._limit = max(limit, 0.001)
            self._sock.settimeout(self._limit)
