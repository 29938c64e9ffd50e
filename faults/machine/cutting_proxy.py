"""Between a client and its PostgreSQL on loopback: cuts the connection at a COMMIT whose fate stays unknown."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from prosaasil.supervisor.ports import LOOPBACK

Fate = Literal["committed", "not committed"]


class CuttingProxy:
    """A context manager. Passes everything on, until `cut_at` has been said and its COMMIT comes."""

    def __init__(self, port: int) -> None:
        """`port` is the server's, on loopback."""
        self._to = port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self._words: tuple[bytes, ...] = ()
        self._fate: Fate = "committed"
        self._then: Callable[[], None] = lambda: None
        self._armed = False
        self._open: list[socket.socket] = []

    def cut_at(self, *words: str, fate: Fate, then: Callable[[], None] = lambda: None) -> None:
        """Cut once: at the COMMIT of the next transaction that has all these words in its statements.

        The server has committed it, or has never heard of it and rolls back. `then` runs before the client can know.
        """
        self._words, self._fate, self._then = tuple(word.encode() for word in words), fate, then
        self._armed = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in [self._listener, *self._open]:
            _end(sock)
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((LOOPBACK, self._to))
                self._open += [client, server]
                threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        """What the client says; the answers are passed on by another thread, which `answering` holds back."""
        answering = threading.Event()
        answering.set()
        committed = threading.Event()
        threading.Thread(target=self._answer, args=(client, server, answering, committed), daemon=True).start()
        said = b""
        with suppress(OSError):
            while data := client.recv(1 << 18):
                begins = data.find(b"BEGIN")
                said = said + data if begins < 0 else data[begins:]
                if b"COMMIT" in data:
                    if self._armed and all(word in said for word in self._words):
                        self._armed = False
                        answering.clear()
                        if self._fate == "committed":
                            server.sendall(data)
                            committed.wait(10)
                        else:
                            _end(server)
                        self._then()
                        self.cuts += 1
                        _end(client)
                        _end(server)
                        return
                    said = b""
                server.sendall(data)
        _end(server)

    @staticmethod
    def _answer(
        client: socket.socket, server: socket.socket, answering: threading.Event, committed: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 18):
                if answering.is_set():
                    client.sendall(data)
                elif b"COMMIT" in data:  # CommandComplete's tag
                    committed.set()
        _end(client)


def _end(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
