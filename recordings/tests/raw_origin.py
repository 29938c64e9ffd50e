"""A provider made of raw sockets, for the tests: it can give answers that no HTTP server would."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

Answer = Callable[["RawOrigin", socket.socket, str], bool]
"""Given the origin, the connection and the request's path; True keeps the connection open."""


def head(status: str = "200 OK", *fields: str) -> bytes:
    """A status line and header fields, to the empty line."""
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode("latin-1")


def send(data: bytes, *, keep: bool = False) -> Answer:
    """Answer with exactly these bytes, then close the connection or keep it."""

    def answer(_origin: "RawOrigin", connection: socket.socket, _path: str) -> bool:
        connection.sendall(data)
        return keep

    return answer


def body(data: bytes, *fields: str, status: str = "200 OK") -> Answer:
    """A sound answer with a length, over a connection that stays open."""
    return send(head(status, f"Content-Length: {len(data)}", *fields) + data, keep=True)


def hang(data: bytes = b"") -> Answer:
    """Send these bytes and nothing more, until the origin closes."""

    def answer(origin: "RawOrigin", connection: socket.socket, _path: str) -> bool:
        connection.sendall(data)
        origin.closing.wait()
        return False

    return answer


def drip(data: bytes, endless: bytes) -> Answer:
    """Send these bytes, then the others one at a time, again and again."""

    def answer(origin: "RawOrigin", connection: socket.socket, _path: str) -> bool:
        connection.sendall(data)
        while not origin.closing.wait(0.02):
            connection.sendall(endless)
        return False

    return answer


def reset(data: bytes = b"") -> Answer:
    """Send these bytes and reset the connection."""

    def answer(_origin: "RawOrigin", connection: socket.socket, _path: str) -> bool:
        connection.sendall(data)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return answer


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as the condition holds; fail when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class RawOrigin:
    """Listens on loopback while it is entered. `answer` may be changed between requests."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.requests: list[str] = []
        """The heads of the requests that came."""
        self.connections = 0
        self.closing = threading.Event()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    @property
    def place(self) -> str:
        """Its "host:port"."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://{self.place}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        for sock in [self._listener, *self._open]:
            sock.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection:
                waiting = b""
                while not self.closing.is_set():
                    while b"\r\n\r\n" not in waiting:
                        data = connection.recv(65536)
                        if not data or data.startswith(b"\x16"):  # a TLS hello is no HTTP
                            return
                        waiting += data
                    request, _, waiting = waiting.partition(b"\r\n\r\n")
                    text = request.decode("latin-1")
                    self.requests.append(text)
                    if not self.answer(self, connection, text.split(" ")[1]):
                        return
