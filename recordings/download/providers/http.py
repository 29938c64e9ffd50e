"""One recording over HTTP, carefully. The only module that knows `requests` and its pool; nothing of them leaves it.

The library lets a lot through: a name that is looked up twice, credentials from .netrc, redirects to anywhere, bodies
cut in the headers, drips that never end. What is allowed is decided here and in `addresses`, `network` and `answers`.
"""

import contextlib
import http.client
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from recordings.download.errors import (
    CutShort,
    DownloadError,
    HostNotAllowed,
    OutOfDescriptors,
    Stalled,
    TooLarge,
    TooManyRedirects,
    Unreachable,
    out_of_descriptors,
)
from recordings.download.providers import Account, addresses, answers, network
from recordings.download.providers.transfer import Stopped, Transfer

__all__ = ["Body", "Client", "Stopped", "Transfer"]

READ_SIZE = 262_144
MAX_REDIRECTS = 3
_SMALL_BODY = 65_536
"""The body of a refusal up to this many bytes is read, so that its connection can be used again."""

_LIBRARY_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)

# The pool logs every request's path with its query, at DEBUG and in some warnings: both are secret here.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class _Route(threading.local):
    """What this thread fetches at the moment, for the connections that the pool makes on its behalf."""

    transfer: Transfer
    target: addresses.Target
    fresh = False
    """Set to demand a new connection."""
    used = False
    """Whether the connection had served a request before."""


_route = _Route()


class _Pinned(HTTPConnection):
    """A connection to an address that was checked, and that the current transfer can shut."""

    response_class = network.Response
    transfer: Transfer | None = None
    served = False

    def connect(self) -> None:
        """Connect, and shake hands where there is TLS. Raises only DownloadErrors and Stopped."""
        transfer, self.served = _route.transfer, False
        try:
            super().connect()
            transfer.check()
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            transfer.check()
            raise Unreachable(f"{self.host}: {network.words(error)}") from None

    def _new_conn(self) -> socket.socket:
        transfer, target = _route.transfer, _route.target
        if (self.host, self.port) != (target.host, target.port):  # the library read the URL differently than we did
            raise HostNotAllowed("The address is read in two ways.")
        return network.reach(target, transfer, float(self.timeout or 0))

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send the request, over a connection that is held by the transfer from here on."""
        self.transfer, _route.used = _route.transfer, self.served
        if self.served and _route.fresh:
            self.close()
        if self.sock is not None:
            self.transfer.hold(self.sock)
        super().request(*args, **kwargs)
        self.served = True


class _PinnedTLS(_Pinned, HTTPSConnection):
    """The same with TLS: the certificate is still checked against the name, not the address."""


class _LettingGo(HTTPConnectionPool):
    """A pool that takes a connection back only when no transfer can shut it any more, and none has."""

    ConnectionCls = _Pinned

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and conn.transfer is not None:
            transfer, conn.transfer = conn.transfer, None
            if not transfer.let_go():
                conn.close()
        super()._put_conn(conn)


class _LettingGoTLS(_LettingGo, HTTPSConnectionPool):
    ConnectionCls = _PinnedTLS


class _Adapter(HTTPAdapter):
    """The library's pool of connections, with ours in it and without what we do not want."""

    def __init__(self, slots: int, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=slots, pool_maxsize=slots)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by the library's __init__."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _LettingGo, "https": _LettingGoTLS}

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> Any:
        """The pool of the checked target. (The library would read the URL anew, and look for a proxy.)"""
        target = _route.target
        return self.poolmanager.connection_from_host(target.host, target.port, target.scheme)

    def request_url(self, request: Any, proxies: Any) -> str:
        """What is asked for: path and query of the checked target."""
        return _route.target.path

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing: the shared TLS context demands certificates. (The library would load all roots at each connect.)"""

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Only the raw answer: no cookie jar, no second copy of the headers."""
        response = requests.Response()
        response.raw = resp
        return response

    def close(self) -> None:
        """Close every idle connection now, not when the garbage is collected."""
        for key in self.poolmanager.pools.keys():  # noqa: SIM118  it is no dict
            pool = self.poolmanager.pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


class Body:
    """A recording's bytes as they come."""

    def __init__(
        self, raw: urllib3.HTTPResponse, announced: answers.Announced, transfer: Transfer, timeout: float
    ) -> None:
        self.status = raw.status
        self.start = announced.start
        self.total = announced.total
        self.validator = announced.validator
        self._raw, self._transfer, self._timeout = raw, transfer, timeout

    def chunks(self) -> Iterator[bytes]:
        """Pieces of at most 256 KB, each as soon as it is there. Ends only when the body was whole.

        Raises CutShort, TooLarge, ProviderError (longer than announced), Stalled, Unreachable, what the transfer was
        aborted with, or Stopped.
        """
        transfer = self._transfer
        while transfer.bytes_done != self.total:
            chunk = _read(self._raw, transfer, self._timeout)
            if not chunk:
                break
            transfer.bytes_done += len(chunk)
            if transfer.bytes_done > transfer.max_bytes:
                raise TooLarge(f"The recording has more than RECORDINGS_MAX_BYTES ({transfer.max_bytes}).")
            yield chunk
        if self.total is not None and transfer.bytes_done != self.total:
            raise CutShort(f"{transfer.bytes_done} of {self.total} bytes came.")


class Client:
    """One a worker process: a pool of connections that up to `slots` threads share."""

    def __init__(
        self,
        slots: int,
        allow_private: frozenset[str],
        connect_timeout: float,
        read_timeout: float,
        *,
        ca_file: Path | None = None,
    ) -> None:
        """Time-outs in seconds, for each step. `allow_private`: "host:port" that may be http or not public.

        `ca_file`: a PEM file of roots to trust in place of the public ones.
        """
        self._allow_private = allow_private
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._adapter = _Adapter(slots, _trusting(str(ca_file or DEFAULT_CA_BUNDLE_PATH)))

    @contextlib.contextmanager
    def fetch(self, account: Account, url: str, transfer: Transfer, rest: answers.Rest | None = None) -> Iterator[Body]:
        """GET a recording, following at most three redirects, each checked like the first address.

        With `rest`, only its end is asked for; the body may be the whole all the same: see `start`. Raises only
        DownloadErrors (see `answers.accept` for what each status means) and Stopped.
        """
        raw = None
        try:
            try:
                raw, announced = self._follow(account, addresses.parse(url), transfer, rest)
            except answers.NotResumable:
                raw, announced = self._follow(account, addresses.parse(url), transfer, None)
            transfer.bytes_total, transfer.bytes_done = announced.total, announced.start
            transfer.validator = announced.validator
            yield Body(raw, announced, transfer, self._read_timeout)
        finally:
            transfer.let_go()
            if raw is not None:
                raw.close()
                raw.release_conn()

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _follow(
        self, account: Account, target: addresses.Target, transfer: Transfer, rest: answers.Rest | None
    ) -> tuple[urllib3.HTTPResponse, answers.Announced]:
        home = addresses.parse(account.base_url).origin
        for _hop in range(MAX_REDIRECTS + 1):
            target = addresses.approve(target, account.hosts, self._allow_private)
            wishes = rest.headers() if rest else {}
            if target.origin == home and (authorization := account.authorization()) is not None:
                wishes["Authorization"] = authorization
            raw = self._send(target, wishes, transfer)
            location = answers.redirect(raw.status, raw.headers)
            try:
                if location is None:
                    return raw, answers.accept(raw.status, raw.version, raw.headers, transfer.max_bytes, rest)
            except (DownloadError, answers.NotResumable):
                self._finish(raw, transfer)
                raise
            self._finish(raw, transfer)
            target = addresses.join(target, location)
        raise TooManyRedirects

    def _send(self, target: addresses.Target, wishes: dict[str, str], transfer: Transfer) -> urllib3.HTTPResponse:
        """One request, to the answer's headers.

        A provider may close an idle connection at the moment we use it: then, and only then, the request is sent once
        more, over a new connection (RFC 9112 section 9.3.1).
        """
        request = requests.PreparedRequest()
        request.method, request.url = "GET", target.url
        request.headers = CaseInsensitiveDict({"Accept-Encoding": "identity", "User-Agent": "prosaasil"} | wishes)
        _route.transfer, _route.target, _route.fresh = transfer, target, False
        while True:
            transfer.check()
            left = max(transfer.left, 0.001)
            timeout = (min(self._connect_timeout, left), min(self._read_timeout, left))
            try:
                raw = self._adapter.send(request, stream=True, timeout=timeout).raw
            except _LIBRARY_ERRORS as error:
                transfer.check()
                if _route.used and not _route.fresh and isinstance(_cause(error), ConnectionError | ssl.SSLEOFError):
                    _route.fresh = True
                    continue
                raise _explain(error, target.host) from None
            try:
                transfer.check()  # a connection that was shut in the headers looks like an answer
            except (DownloadError, Stopped):
                raw.close()
                raw.release_conn()
                raise
            return raw

    def _finish(self, raw: urllib3.HTTPResponse, transfer: Transfer) -> None:
        """Read a small rest, so that the connection can be used again; whatever fails, only the connection is lost."""
        with contextlib.suppress(DownloadError, Stopped):
            if raw.length_remaining is not None and raw.length_remaining <= _SMALL_BODY:
                for _ in range(16):
                    if not _read(raw, transfer, 1.0):
                        break
        transfer.let_go()
        raw.close()
        raw.release_conn()


@lru_cache(maxsize=4)
def _trusting(roots: str) -> ssl.SSLContext:
    """A context that demands certificates. Shared: to read the public roots takes longer than a download."""
    return ssl.create_default_context(cafile=roots)


def _read(raw: urllib3.HTTPResponse, transfer: Transfer, timeout: float) -> bytes:
    """What is there of the body, at most READ_SIZE; empty at its end."""
    transfer.limit_read(timeout)
    try:
        chunk: bytes = raw.read1(READ_SIZE, decode_content=False)
    except _LIBRARY_ERRORS as error:
        transfer.check()
        raise _explain(error, _route.target.host) from None
    transfer.check()
    return chunk


def _explain(error: Exception, host: str) -> DownloadError:
    """What an error of the library means. Its own words may have the URL in them and are not kept."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return Stalled(f"{host} sent nothing for too long.")
    cause = _cause(error)
    if out_of_descriptors(cause):
        return OutOfDescriptors()
    if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
        return Unreachable(f"{host}: {network.words(cause)}")
    return CutShort(f"{host}: the answer ended early or is no HTTP ({type(cause).__name__}).")


def _cause(error: BaseException) -> BaseException:
    """The system's or the protocol's error that the library wrapped."""
    while nested := [e for e in (*error.args, getattr(error, "reason", None)) if isinstance(e, BaseException)]:
        error = nested[-1]
    return error
