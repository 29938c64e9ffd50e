"""One request for a recording and its answer: what is right (200, 206, 416), and the tools to do it wrong."""

import re
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from demo.library import Audio, head

RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing then sends RST."""


def chunk(data: bytes) -> bytes:
    """`data` in chunked framing (RFC 9112 section 7.1); no data makes the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Answer:
    """The right answer: status, head and body (not sent for HEAD)."""

    status: int
    head: bytes
    body: bytes | memoryview = b""


@dataclass(slots=True)
class Exchange:
    """One request and what may be done about it.

    `keep` says whether the connection may be used again. A send raises OSError once either side has closed it.
    """

    sock: socket.socket
    method: str
    target: str
    """The path and query that were asked for."""
    hop: int
    """How many redirects the client has followed to come here."""
    audio: Audio
    headers: dict[str, str] = field(default_factory=dict)
    """Only those that change the answer, by lower-case name: range, if-range."""
    keep: bool = True
    on_status: Callable[[int], None] = lambda status: None
    """Told the status when an answer begins: the counts."""
    gate_is_open: Callable[[], bool] = lambda: True

    def send(self, data: bytes | memoryview) -> None:
        """Send raw bytes."""
        self.sock.sendall(data)

    def begin(self, status: int, head_: bytes, body: bytes | memoryview = b"") -> None:
        """Count the answer, then send its head and the body or the first part of it."""
        self.on_status(status)
        if self.method == "HEAD":
            body = b""
        sent = self.sock.sendmsg((head_, body))
        if sent < len(head_) + len(body):
            rest = memoryview(head_)[sent:]
            if rest:
                self.sock.sendall(rest)
            self.sock.sendall(memoryview(body)[max(0, sent - len(head_)) :])

    def serve(self) -> None:
        """Answer as a provider should."""
        answer = self.right()
        self.begin(answer.status, answer.head, answer.body)

    def right(self) -> Answer:
        """What `serve` sends: the whole, the range that was asked for, or 416 (RFC 9110 sections 13.1.5 and 14)."""
        body, wanted = self.audio.body, self.headers.get("range")
        if wanted is None or self.method != "GET" or not self._range_is_current():
            return Answer(200, self.audio.whole_head, body)
        match = RANGE.fullmatch(wanted.strip())
        if match is None or match[0] == "bytes=-" or (match[1] and match[2] and int(match[1]) > int(match[2])):
            return Answer(200, self.audio.whole_head, body)
        if match[1]:
            start, end = int(match[1]), min(int(match[2] or len(body)), len(body) - 1)
        else:
            start, end = max(0, len(body) - int(match[2])), len(body) - 1
        if start > end:
            return Answer(416, head(416, f"Content-Range: bytes */{len(body)}", "Content-Length: 0"))
        sizes = f"Content-Range: bytes {start}-{end}/{len(body)}", f"Content-Length: {end + 1 - start}"
        return Answer(206, head(206, *self.audio.headers, *sizes), memoryview(body)[start : end + 1])

    def error(self, status: int, *headers: str, code: int = 20000) -> None:
        """An error with a body like Twilio's XML."""
        text = f"<?xml version='1.0'?><TwilioResponse><RestException><Code>{code}</Code><Status>{status}</Status>"
        body = (text + "</RestException></TwilioResponse>").encode()
        lines = "Content-Type: application/xml", f"Content-Length: {len(body)}", *headers
        self.begin(status, head(status, *lines), body)

    def pause(self, seconds: float) -> bool:
        """Wait; True at once when the client (or a stopping server) has closed the connection meanwhile."""
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        gone = any(event & GONE for _, event in poll.poll(seconds * 1000))
        if gone:
            self.keep = False
        return gone

    def hold(self) -> None:
        """Say no more until the client closes or the server stops; the connection is not used again."""
        self.keep = False
        while not self.pause(3600):
            pass

    def wait_at_gate(self) -> bool:
        """Wait until this recording's gate is opened; True when the connection was closed meanwhile."""
        while not self.gate_is_open():
            if self.pause(0.005):
                return True
        return False

    def reset(self) -> None:
        """Close with RST instead of FIN, once the client has had the chance to take what was sent."""
        self.keep = False
        time.sleep(0.01)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def _range_is_current(self) -> bool:
        """If-Range compares strongly; without one the range counts."""
        condition = self.headers.get("if-range")
        if condition is None:
            return True
        etag, modified = self.audio.validators
        return condition == modified or (condition == etag and not condition.startswith("W/"))
