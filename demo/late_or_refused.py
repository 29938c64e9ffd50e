"""Misbehaviours that break nothing: late answers, refusals, redirects. demo/misbehaviour.py names them."""

import time
from email.utils import formatdate

from demo.exchange import Exchange
from demo.library import head


def slow_start(exchange: Exchange, *, milliseconds: int = 1500) -> None:
    """Right, but the first byte comes late."""
    if not exchange.pause(milliseconds / 1000):
        exchange.serve()


def slow(exchange: Exchange, *, bytes_per_second: int = 16000) -> None:
    """Right, but the body comes slowly, in ten pieces a second."""
    answer = exchange.right()
    exchange.begin(answer.status, answer.head)
    step = max(1, bytes_per_second // 10)
    for at in range(0, len(answer.body), step):
        exchange.send(answer.body[at : at + step])
        if exchange.pause(step / bytes_per_second):
            return


def drip_headers(exchange: Exchange, *, seconds: float = 1.0) -> None:
    """Right, but the head comes byte by byte."""
    answer = exchange.right()
    for at in range(len(answer.head)):
        exchange.send(answer.head[at : at + 1])
        if exchange.pause(seconds):
            return
    exchange.begin(answer.status, b"", answer.body)


def gate_start(exchange: Exchange) -> None:
    """Right, but not a byte until the gate is opened (`Provider.open_gate`)."""
    if not exchange.wait_at_gate():
        exchange.serve()


def gate_body(exchange: Exchange) -> None:
    """Right, but the second half of the body waits until the gate is opened."""
    answer = exchange.right()
    half = len(answer.body) // 2
    exchange.begin(answer.status, answer.head, answer.body[:half])
    if not exchange.wait_at_gate():
        exchange.send(answer.body[half:])


def refuse(exchange: Exchange, *, status: int, code: int = 20000) -> None:
    """An error status with an XML body."""
    exchange.error(status, code=code)


def unauthorised(exchange: Exchange) -> None:
    """401, whatever the credentials."""
    exchange.error(401, 'WWW-Authenticate: Basic realm="demo"', code=20003)


def rate_limited(exchange: Exchange, *, retry_after: int | None = 2, as_date: bool = False) -> None:
    """429, with Retry-After in seconds or as a date."""
    exchange.error(429, *_retry_after(retry_after, as_date), code=20429)


def failing(exchange: Exchange, *, status: int = 500, retry_after: int | None = None, as_date: bool = False) -> None:
    """5xx, with or without Retry-After."""
    exchange.error(status, *_retry_after(retry_after, as_date), code=20500)


def _retry_after(seconds: int | None, as_date: bool) -> tuple[str, ...]:
    if seconds is None:
        return ()
    return (f"Retry-After: {formatdate(time.time() + seconds, usegmt=True) if as_date else seconds}",)


def redirect(exchange: Exchange, *, hops: int = 1, location: str | None = None, status: int = 302) -> None:
    """To itself `hops` times, then the recording; or to `location` for ever (`{port}` and `{path}` are filled in)."""
    path = exchange.target.partition("?")[0]
    if location is not None:
        where = location.format(port=exchange.sock.getsockname()[1], path=path)
    elif exchange.hop >= hops:
        return exchange.serve()
    else:
        where = f"{path}?hop={exchange.hop + 1}"
        where += "&RequestedChannels=2" if "RequestedChannels=2" in exchange.target else ""
    return exchange.begin(status, head(status, f"Location: {where}", "Content-Length: 0"))
