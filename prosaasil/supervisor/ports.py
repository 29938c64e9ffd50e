"""Taking a TCP port for as long as the supervisor lives, without listening on it."""

import socket

LOOPBACK = "127.0.0.1"


class PortTaken(Exception):
    """Another program listens on this address, or it is not an address of this machine."""


def hold(host: str, port: int) -> socket.socket:
    """Bind the address and keep it: our own web processes can share it (SO_REUSEPORT), another `hold` of it fails.

    The web server binds with SO_REUSEPORT, so that two of them would share one port without an error: this is the
    check that it can't make. Listening for a moment is what finds a holder that does not listen (Linux looks at it
    then only); after that the socket keeps the port and receives nothing. Raises PortTaken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        holder = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTaken(f"{host}:{port}: {error.strerror or error}") from error
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or connections that are just over count as taken
        holder.bind(address)
        holder.listen(1)
        holder.shutdown(socket.SHUT_RDWR)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        holder.close()
        raise PortTaken(f"{host}:{port}: {error.strerror or error}") from error
    return holder


def accepts(port: int) -> bool:
    """Whether somebody on this machine accepts connections there."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port(preferred: int | None = None) -> int:
    """A port of 127.0.0.1 that nobody uses now: the preferred one if it is free."""
    for port in (preferred or 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
                probe.listen(1)
            except OSError:
                continue
            number: int = probe.getsockname()[1]
            return number
    raise PortTaken(f"{LOOPBACK}: no free port")
