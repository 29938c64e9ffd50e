"""A client that sees what really comes over the wire: no library repairs an answer here."""

import socket
from dataclasses import dataclass, field
from typing import Self

from demo.library import find
from demo.provider import SECRET, USERNAME, Provider, basic

HELLO = find("hello", "wav", 2).body
"""What /recordings/hello is, and /recordings/hello-… in the end."""
LOGIN = {"Authorization": basic(USERNAME, SECRET)}


@dataclass
class Reply:
    """What came. `end` is how it ended: whole (by its own framing), closed, reset, or open (no more came in time)."""

    raw: bytes
    end: str
    head: bytes = b""
    body: bytes = b""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)


class Client:
    """One connection."""

    def __init__(self, provider: Provider) -> None:
        self.sock = socket.create_connection((provider.host, provider.port), timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> None:
        """Send a request, with the generic credentials unless others are given; `If_Range` stands for If-Range."""
        lines = {"Host": "demo", **LOGIN, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body:
            lines["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        self.sock.sendall(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)

    def ask(self, target: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        """Send a request and read its answer to the end of its framing, or of the connection."""
        self.send(target, method, body, **headers)
        return self.read(method)

    def read(self, method: str = "GET", at_most: int = 1 << 25, patience: float = 10) -> Reply:
        """Read one answer. `patience` (s): how long silence may last before the answer is called open."""
        self.sock.settimeout(patience)
        reply = Reply(b"", "")
        while not reply.end:
            try:
                data = self.sock.recv(1 << 20)
            except TimeoutError:
                reply.end = "open"
            except ConnectionResetError:
                reply.end = "reset"
            else:
                reply.raw += data
                reply.end = "closed" if not data else "whole" if _is_whole(reply.raw, method) else ""
            if len(reply.raw) > at_most:
                reply.end = reply.end or "open"
        return _parse(reply)


def ask_hello(provider: Provider, name: str, patience: float = 10, at_most: int = 1 << 25, wanted: str = "") -> Reply:
    """Ask for the recording that misbehaves by its name; `wanted` is a Range."""
    with Client(provider) as client:
        client.send(f"/recordings/hello-{name}", Range=wanted)
        return client.read(patience=patience, at_most=at_most)


def _parse(reply: Reply) -> Reply:
    reply.head, _, reply.body = reply.raw.partition(b"\r\n\r\n")
    lines = reply.head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    reply.status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    pairs = [line.partition(":") for line in lines[1:]]
    reply.headers = {name.lower(): value.strip() for name, _, value in pairs}
    return reply


def _is_whole(raw: bytes, method: str) -> bool:
    head, end, body = raw.partition(b"\r\n\r\n")
    if not end:
        return False
    lower = head.lower()
    if method == "HEAD" or lower.startswith(b"http/1.1 204"):
        return True
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"\r\n0\r\n\r\n")
    if b"content-length:" not in lower:
        return False
    # More than was announced is not whole: read on to see it all.
    return len(body) == int(lower.split(b"content-length:")[1].split(b"\r\n")[0])


def unchunk(body: bytes) -> bytes:
    """The bytes in a chunked body; ValueError when it is cut."""
    data = b""
    while True:
        size, end, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not end or len(body) < length + 2:
            raise ValueError("cut")
        if length == 0:
            return data
        data, body = data + body[:length], body[length + 2 :]
