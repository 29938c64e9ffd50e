"""Turns: requests of a web process are worked on one at a time, however many threads hold one.

With all threads at it, each waits for the interpreter behind all the others, and two hundred listeners have their first
byte together, at the end. (With two or four at a time, 500 listeners had their answers after 1.6 and 1.4 s, with one
after 0.6 s.) A request that is held for long gives its turn up. A turn is a courtesy: who has waited for one long
enough goes on without, so that a stuck disk or a slow client never holds up the rest.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 0.25
"""Seconds."""

_QUIET = 2
"""Looks, a millisecond apart. The server hands on what has come one by one."""

_free = threading.Lock()
_mine = threading.local()
_waiting: set[int] = set()
"""The threads that wait for their turn."""


@contextmanager
def turn() -> Iterator[None]:
    """Work while it is this thread's turn, or its patience is at its end."""
    _mine.turn = _free.acquire(blocking=False) or _wait()
    try:
        yield
    finally:
        give_up()


def _wait() -> bool:
    me = threading.get_ident()
    _waiting.add(me)
    try:
        return _free.acquire(timeout=PATIENCE)
    finally:
        _waiting.discard(me)


def give_up() -> None:
    """Let others work: this thread is going to wait. Harmless without a turn."""
    if getattr(_mine, "turn", False):
        _mine.turn = False
        _free.release()


def let_others_pass(seconds: float) -> None:
    """Having given up one's turn: wait, at most so long, until nobody else waits for one, nor did a moment ago."""
    until, quiet = time.monotonic() + seconds, 0
    while quiet < _QUIET and time.monotonic() < until:
        quiet = 0 if _waiting else quiet + 1
        time.sleep(0.001)
