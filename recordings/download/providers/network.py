"""The socket's side of a transfer: one look-up, checked addresses connected to as they were checked."""

import errno
import http.client
import io
import ipaddress
import os
import select
import socket
import threading
from typing import Any, cast

from recordings.download.errors import (
    HostNotAllowed,
    OutOfDescriptors,
    ProviderError,
    Unreachable,
    out_of_descriptors,
)
from recordings.download.providers import answers
from recordings.download.providers.addresses import Target, is_public
from recordings.download.providers.chunks import Chunks, Head
from recordings.download.providers.transfer import Transfer

_Place = tuple[socket.AddressFamily, tuple[Any, ...]]
"""An address family and a socket address of it, as getaddrinfo gives them."""


class Response(http.client.HTTPResponse):
    """The standard library's answer, but strict about what that drops in silence. Raises ProviderError."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._socket = sock
        self._chunks = Chunks(self.fp)

    def begin(self) -> None:
        """Read the headers. Lengths are looked at here, because who finds them odd later leaves the socket open."""
        reader, head = self.fp, Head(self.fp)
        self.fp = cast(io.BufferedReader, head)
        try:
            super().begin()
        finally:
            if self.fp is not None:  # None: what is no HTTP is closed at once
                self.fp = reader
        head.require_end()
        answers.require_plain_lengths(self.headers.get_all("content-length") or [])

    def read1(self, n: int = -1) -> bytes:
        """What is there, at most `n` bytes; an error when the body goes on after its announced end."""
        reader, in_chunks = self.fp, self.chunked and not self.isclosed()
        data = self._chunks.read1(n) if in_chunks else super().read1(n)
        if (data and self.length == 0) or (in_chunks and not data):
            self._socket.settimeout(0)  # only what is here already; the next request sets its own time-out
            try:
                more = reader.peek(1)
            except OSError:  # TLS says "nothing yet" with an error
                more = b""
            if more.strip(b"\r\n"):
                raise ProviderError("The provider sent more bytes than it had announced.", http_status=self.status)
        return data


def reach(target: Target, transfer: Transfer, timeout: float) -> socket.socket:
    """Connect to a target, held by the transfer; `timeout` is in seconds, for the look-up and for each address.

    Raises HostNotAllowed when the name has no address that may be used, Unreachable when none answers, and what the
    transfer was aborted with.
    """
    usable = [place for place in _look_up(target, transfer, timeout) if target.private or is_public(str(place[1][0]))]
    if not usable:
        raise HostNotAllowed(f"{target.host} has no public network address.")
    failure: OSError | None = None
    for place in usable:
        try:
            return _connect(place, transfer, timeout)
        except OSError as error:
            transfer.check()
            if out_of_descriptors(error):
                raise OutOfDescriptors from error
            failure = error
    raise Unreachable(f"{target.host}: {words(failure)}")


def words(error: BaseException | None) -> str:
    """Why a connection failed, in the system's own words."""
    for name in ("verify_message", "reason", "strerror"):
        text = getattr(error, name, None)
        if isinstance(text, str) and text:
            return text
    return type(error).__name__


def _look_up(target: Target, transfer: Transfer, timeout: float) -> list[_Place]:
    """The addresses of the host, in the system's order.

    Nothing can interrupt the C library's resolver, so it is asked in a thread of its own, which may be left behind.
    """
    try:
        ipaddress.ip_address(target.host)
    except ValueError:
        pass
    else:
        return _addresses(target)
    done = threading.Event()
    found: list[_Place] = []
    failure: list[str] = []

    def ask() -> None:
        try:
            found.extend(_addresses(target))
        except OSError as error:
            failure.append(words(error))
        finally:
            done.set()

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    transfer.wait(done, timeout)
    if not found:
        raise Unreachable(f"{target.host}: {failure[0] if failure else 'the look-up of the name took too long'}")
    return found


def _addresses(target: Target) -> list[_Place]:
    # As bytes: a str would go through the IDNA codec once more.
    found = socket.getaddrinfo(target.host.encode("ascii"), target.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _kind, _protocol, _name, address in found]


def _connect(place: _Place, transfer: Transfer, timeout: float) -> socket.socket:
    """Connect to one address. Raises OSError.

    The connect is begun before the transfer holds the socket: only a socket that is connecting can be shut.
    """
    family, address = place
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        state = sock.connect_ex(address)
        transfer.hold(sock)
        if state == errno.EINPROGRESS:
            state = _outcome(sock, min(timeout, transfer.left))
        transfer.check()
        if state:
            raise OSError(state, os.strerror(state))
        sock.settimeout(timeout)
    except BaseException:
        sock.close()
        raise
    return sock


def _outcome(sock: socket.socket, timeout: float) -> int:
    """The error number of a connect that was begun, 0 when it succeeded."""
    poll = select.poll()  # not select: it knows no descriptor above 1023
    poll.register(sock, select.POLLOUT)
    if not poll.poll(max(timeout, 0) * 1000):
        return errno.ETIMEDOUT
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
