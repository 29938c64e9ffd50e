"""A threaded HTTP/1.1 server over plain sockets: a thread a connection, keep-alive, nothing hidden."""

import contextlib
import ipaddress
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Self

MOST_HEAD_BYTES = 65_536
MOST_BODY_BYTES = 64 << 20
STOP_SECONDS = 10.0
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"


@dataclass
class Request:
    """One request. `head`: request line and headers as they came; `body`: empty without a Content-Length."""

    sock: socket.socket
    head: bytes
    lower: bytes
    method: str
    target: str
    body: bytes = b""


def loopback(host: str) -> str:
    """The address itself; ValueError for any that another machine could reach."""
    address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    if not address.is_loopback:
        raise ValueError(f"Unexpected host {host!r}; use a loopback address such as 127.0.0.1")
    return str(address)


class Server(ABC):
    """Starts and stops; `answer` is what a subclass adds. OSError from `start` when the port is taken."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, most_connections: int = 512) -> None:
        self.host = loopback(host)
        self.port = port
        self.most_connections = most_connections
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._ended: deque[threading.Thread] = deque(maxlen=most_connections)
        self._acceptor: threading.Thread | None = None

    @abstractmethod
    def answer(self, request: Request) -> bool:
        """Answer; True when the connection may be used again."""

    def start(self) -> Self:
        """Bind and listen. `port` is the real one afterwards; a second start (after stop) takes the same one again."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            listener.listen(self.most_connections)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._acceptor = threading.Thread(target=self._accept, args=(listener,), name="demo-accept", daemon=True)
        self._acceptor.start()
        return self

    def stop(self) -> None:
        """Close everything, also what is being answered, and wait for the threads. Nothing to do when not started."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is None:
            return
        # A listener that is shut wakes its accept(); a connection that is shut wakes whatever waits on it.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        if self._acceptor is not None:
            self._acceptor.join(STOP_SECONDS)
        with self._lock:
            connections = dict(self._connections)
            ended = list(self._ended)
        for sock in connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        # Also those that have just taken themselves off: nothing of ours runs on after a stop.
        for thread in (*connections.values(), *ended):
            thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def connections(self) -> int:
        """How many are open now."""
        with self._lock:
            return len(self._connections)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._converse, args=(sock,), name="demo-connection", daemon=True)
            with self._lock:
                welcome = len(self._connections) < self.most_connections and self._listener is not None
                if welcome:
                    self._connections[sock] = thread
            if welcome:
                thread.start()
            else:
                with contextlib.suppress(OSError):
                    sock.send(BUSY)
                sock.close()

    def _converse(self, sock: socket.socket) -> None:
        try:
            rest = b""
            while True:
                request, rest = _read(sock, rest)
                if request is None or not self.answer(request) or b"\nconnection: close" in request.lower:
                    return
        except OSError:
            pass
        finally:
            sock.close()
            with self._lock:
                self._ended.append(self._connections.pop(sock))


def _read(sock: socket.socket, rest: bytes) -> tuple[Request | None, bytes]:
    """The next request and what came after it; None at the end, or when it makes no sense."""
    while (end := rest.find(b"\r\n\r\n")) < 0:
        data = sock.recv(MOST_HEAD_BYTES)
        if not data or len(rest) > MOST_HEAD_BYTES:
            return None, b""
        rest += data
    head, rest = rest[:end], rest[end + 4 :]
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3:
        return None, b""
    request = Request(sock, head, head.lower(), words[0].decode("latin-1"), words[1].decode("latin-1"))
    if b"\ncontent-length:" in request.lower:
        digits = request.lower.split(b"\ncontent-length:", 1)[1].split(b"\r\n", 1)[0].strip()
        if not digits.isdigit() or int(digits) > MOST_BODY_BYTES:
            return None, b""
        parts, missing = [rest], int(digits) - len(rest)
        while missing > 0:
            data = sock.recv(1 << 20)
            if not data:
                return None, b""
            parts.append(data)
            missing -= len(data)
        body = b"".join(parts)
        request.body, rest = body[: int(digits)], body[int(digits) :]
    return request, rest
