"""Turns: requests of a web process are worked on one at a time, however many threads hold one.

With all threads at it, each waits for the interpreter behind all the others, and two hundred listeners have their first
byte together, at the end. (With two or four at a time, 500 listeners had their answers after 1.6 and 1.4 s, with one
after 0.6 s.) A request that is held for long gives its turn up. A turn is a courtesy: who has waited for one long
enough goes on without, so that a stuck disk or a slow client never holds up the rest.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 0.25
"""Seconds."""

_free = threading.Lock()
_mine = threading.local()
_waiting: set[int] = set()
"""The threads that wait for their turn."""
_taken = 0


@contextmanager
def turn() -> Iterator[None]:
    """Work while it is this thread's turn, or its patience is at its end."""
    global _taken  # noqa: PLW0603  changed by who has the turn only
    if _free.acquire(blocking=False) or _wait():
        _mine.turn = True
        _taken += 1
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


def are_waited_for() -> bool:
    """Whether somebody waits for a turn."""
    return bool(_waiting)


def taken() -> int:
    """How many turns have been taken so far."""
    return _taken
