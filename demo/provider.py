"""A telephony provider on loopback that serves recordings over real sockets, counts requests and misbehaves on demand.

In a test: `with Provider() as provider: …`. As a process of its own: `manage.py demo_provider`; then /_control/
(demo/control.py) does what the methods do. URLs: demo/addresses.py; audio: demo/library.py; misbehaviours:
demo/misbehaviour.py.
"""

import base64
import json
import threading
from collections.abc import Mapping
from typing import Literal

from demo import addresses, library
from demo.addresses import Address
from demo.control import control
from demo.counts import Count, Counts, Seen, read_headers
from demo.exchange import Exchange
from demo.library import Audio, head
from demo.rules import ALL, Rules
from demo.server import Request, Server

ACCOUNT_SID = "AC" + "de30" * 8
AUTH_TOKEN = "demo-token"  # noqa: S105  (the demo's own, worth nothing)
USERNAME = "demo"
SECRET = "demo-secret"  # noqa: S105
Auth = Literal["basic", "bearer", "none"]
MOST_ADDRESSES = 4096
"""How many parsed URLs are remembered, for speed."""


class Provider(Server):
    """The server. `latency` (seconds) goes before every answer about a recording; `accounts` is Twilio SID → token."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        accounts: Mapping[str, str] | None = None,
        auth: Auth = "basic",
        username: str = USERNAME,
        secret: str = SECRET,
        latency: float = 0.0,
        bulk_bytes: int = library.BULK_BYTES,
        most_connections: int = 512,
    ) -> None:
        super().__init__(host, port, most_connections)
        self.accounts = dict(accounts or {ACCOUNT_SID: AUTH_TOKEN})
        self.auth, self.username, self.secret = auth, username, secret
        self.latency = latency
        self.bulk_bytes = bulk_bytes
        self.counts = Counts()
        self.rules = Rules()
        self._put: dict[str, Audio] = {}
        self._addresses: dict[str, Address] = {}
        self._open_gates: set[str] = set()
        self._gate_lock = threading.Lock()

    # Where it is

    @property
    def address(self) -> str:
        """host:port, as in an account's hosts and in RECORDINGS_ALLOW_PRIVATE_HOSTS."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def base_url(self) -> str:
        """http://host:port"""
        return f"http://{self.address}"

    def url(self, name: str, extension: str = "") -> str:
        """The generic URL of a recording."""
        return f"{self.base_url}/recordings/{name}{'.' + extension if extension else ''}"

    def twilio_url(self, sid: str, extension: str = "", account_sid: str = "") -> str:
        """The Twilio URL of a recording, of the first account unless one is named."""
        account = account_sid or next(iter(self.accounts))
        path = f"/2010-04-01/Accounts/{account}/Recordings/{sid}"
        return f"{self.base_url}{path}{'.' + extension if extension else ''}"

    # What it serves and does

    def put(self, recording: str, audio: Audio) -> None:
        """Serve this as the recording (name or SID) from now on, whatever its extension."""
        self._put[recording] = audio

    def audio(self, url: str) -> Audio:
        """What it serves at a URL, or path, when it behaves; KeyError when the URL is nothing of ours."""
        address = addresses.parse(url.removeprefix(self.base_url))
        if address is None:
            raise KeyError(url)
        return self._audio(address)

    def misbehave(self, recording: str, name: str, first: int | None = None, **options: object) -> None:
        """Misbehave for one recording or for all (`*`): see Rules.add and demo/misbehaviour.py."""
        self.rules.add(recording, name, first, options)

    def behave(self, recording: str | None = None) -> None:
        """Undo `misbehave` for one recording (or `*`), or for everything."""
        self.rules.clear(recording)

    def open_gate(self, recording: str = ALL) -> None:
        """Let go what waits in `gate-start` and `gate-body`, now and later."""
        with self._gate_lock:
            self._open_gates.add(recording)

    def close_gates(self) -> None:
        """Let them wait again."""
        with self._gate_lock:
            self._open_gates.clear()

    # What it has seen

    def count(self, recording: str) -> Count:
        """One recording's counts."""
        return self.counts.of(recording)

    def log(self) -> list[Seen]:
        """The last requests, oldest first."""
        return self.counts.log()

    def wait_for(
        self, recording: str, *, requests: int = 0, bodies: int = 0, whole: int = 0, timeout: float = 10
    ) -> None:
        """Wait until a recording has at least these counts; TimeoutError after `timeout` seconds."""

        def reached() -> bool:
            count = self.counts.of(recording)
            return count.requests >= requests and count.bodies >= bodies and count.whole >= whole

        if not self.counts.wait(reached, timeout):
            raise TimeoutError(f"{recording}: {self.counts.of(recording)} after {timeout} s")

    def reset(self) -> None:
        """Forget counts, log, misbehaviours, gates and what was put; the latency stays."""
        self.rules.clear()
        self.close_gates()
        self._put.clear()
        self.counts.reset()

    # One request

    def answer(self, request: Request) -> bool:
        """See Server.answer."""
        address = self._addresses.get(request.target) or self._parse(request.target)
        if address is None:
            if request.target.startswith("/_control/"):
                return control(self, request)
            return _say(request, 404, "Nothing is here.")
        if request.method not in ("GET", "HEAD"):
            return _say(request, 405, "Recordings are only read here.")
        headers = read_headers(request.head) if b"range:" in request.lower else {}
        seen = self.counts.begin(address.recording, request.head, "range" in headers)
        whole = False
        try:
            whole, keep = self._recording(request, address, headers, seen)
        finally:
            self.counts.end(seen, whole)
        return keep

    def _recording(self, request: Request, address: Address, headers: dict[str, str], seen: Seen) -> tuple[bool, bool]:
        """Answer for a recording: (whether the answer was sent whole, whether the connection may be used again)."""
        refusal = self._refusal(request, address)
        if refusal:
            self.counts.refused(seen)
            seen.status = 401
            return False, _say(request, 401, refusal, 'WWW-Authenticate: Basic realm="demo"')
        if address.extension == "json":
            seen.status = 200
            return False, _say(request, 200, self._metadata(address))
        exchange = Exchange(
            request.sock,
            request.method,
            request.target,
            address.hop,
            self._audio(address),
            headers,
            on_status=lambda status: self.counts.status(seen, status),
            gate_is_open=lambda: bool(self._open_gates & {address.recording, ALL}),
        )
        if self.latency and exchange.pause(self.latency):
            return False, False
        misbehave = self.rules.find(address)
        if misbehave is None:
            exchange.serve()
            return True, True
        misbehave(exchange)
        # What a misbehaviour sends as the answer to HEAD may have a body: never go on after it.
        keep = exchange.keep and request.method == "GET"
        return keep, keep

    def _parse(self, target: str) -> Address | None:
        address = addresses.parse(target)
        if address is not None:
            if len(self._addresses) >= MOST_ADDRESSES:
                self._addresses = {}
            self._addresses[target] = address
        return address

    def _audio(self, address: Address) -> Audio:
        put = self._put.get(address.recording)
        return put or library.find(address.audio, address.extension, address.channels, self.bulk_bytes)

    def _refusal(self, request: Request, address: Address) -> str | None:
        """Why the credentials do not do; None when they do."""
        if address.account_sid is not None:
            if address.account_sid not in self.accounts:
                return "There is no such account."
            expected = basic(address.account_sid, self.accounts[address.account_sid])
        elif self.auth == "none":
            return None
        else:
            expected = basic(self.username, self.secret) if self.auth == "basic" else f"Bearer {self.secret}"
        if f"\r\nAuthorization: {expected}".encode() + b"\r\n" in request.head + b"\r\n":
            return None
        # Slowly, for a client that spells the header's name in another way.
        return None if read_headers(request.head).get("authorization") == expected else "Authenticate."

    def _metadata(self, address: Address) -> dict[str, object]:
        """The recording resource, as at Twilio."""
        audio = self._audio(address)
        path = f"/2010-04-01/Accounts/{address.account_sid}/Recordings/{address.recording}"
        return {
            "sid": address.recording,
            "account_sid": address.account_sid,
            "status": "completed",
            "channels": audio.channels,
            "duration": None if audio.duration is None else str(round(audio.duration)),
            "uri": f"{path}.json",
            "media_url": self.base_url + path,
        }


def basic(username: str, secret: str) -> str:
    """The value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()


def _say(request: Request, status: int, said: object, *headers: str) -> bool:
    """Send JSON: `said`, or a sentence as its `message`."""
    body = json.dumps({"status": status, "message": said} if isinstance(said, str) else said).encode()
    lines = "Content-Type: application/json", f"Content-Length: {len(body)}", *headers
    request.sock.sendall(head(status, *lines) + (body if request.method != "HEAD" else b""))
    return True
