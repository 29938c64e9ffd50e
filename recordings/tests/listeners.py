"""A real mail server and a real receiver of webhooks, on loopback, for tests of what is told."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class MailServer:
    """What came by mail: to whom, and the message. `refused` recipients get a 550; a `silent` server says nothing."""

    port: int = 0
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    silent: threading.Event | None = None

    @property
    def subjects(self) -> list[str]:
        """Of all mails, in order."""
        return [str(mail["Subject"]) for _, mail in self.mails]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    facts: MailServer


class _Dialogue(socketserver.StreamRequestHandler):
    """The least of RFC 5321."""

    server: _Server

    def handle(self) -> None:
        facts, to = self.server.facts, list[str]()
        if facts.silent is not None:
            facts.silent.wait(60)
            return
        self.say("220 mail.test")
        while line := self.rfile.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            if verb.upper() == "RCPT":
                address = rest.partition("<")[2].partition(">")[0]
                if address in facts.refused:
                    self.say("550 no such user")
                    continue
                to.append(address)
            elif verb.upper() == "DATA":
                self.say("354 go on")
                facts.mails.append((to, self.read_mail()))
                to = []
            self.say("221 bye" if verb.upper() == "QUIT" else "250 ok")

    def read_mail(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(mail, EmailMessage)
        return mail

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def mail_server(facts: MailServer) -> Iterator[MailServer]:
    """Serve; on the port it had before, when it had one."""
    server = _Server(("127.0.0.1", facts.port), _Dialogue)
    server.facts = facts
    facts.port = server.server_address[1]
    with _in_a_thread(server):
        yield facts


@dataclass
class Receiver:
    """What was posted: path, headers (names in lower case) and JSON. `status` is the answer."""

    url: str = ""
    status: int = 204
    posts: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def told(self) -> list[tuple[str, str]]:
        """Alarm and state of all posts, in order."""
        return [(body["alarm"], body["state"]) for _, _, body in self.posts]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Serve on a free port."""
    facts = Receiver()

    class Post(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            facts.posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(facts.status)
            self.send_header("Location", f"{facts.url}/elsewhere")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Post)
    facts.url = f"http://127.0.0.1:{server.server_address[1]}/alarms"
    with _in_a_thread(server):
        yield facts


@contextmanager
def _in_a_thread(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
