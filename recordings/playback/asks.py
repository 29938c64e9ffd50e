"""Asking for what listeners want to hear, one transaction at a time in each process."""

import threading
import time

from calls.models import CallLog
from recordings.lifecycle import Answer, Ask, tell
from recordings.models import Recording
from recordings.playback import turns

GATHER = 0.03
"""Seconds that a write waits, at most, for requests that have come and have not had their turn yet."""

_LOOK_EVERY, _QUIET = 0.0005, 2
"""Seconds between two looks at who waits for a turn, and how many in a row must see nobody. The server hands on one by
one what has come together."""

_NOTHING_NEW = 8
"""Turns in a row that ask for nothing that is not asked for already: more of the same is not waited for."""


class Asks:
    """The askings of this process. What comes together, or while another is written, is written together.

    Twenty recordings that are asked for at once are one write or two, not twenty; and nobody waits for SQLite's lock.
    """

    def __init__(self) -> None:
        self._turned = threading.Condition()
        self._writing = False
        self._waiting: dict[int, CallLog] = {}
        self._answers: dict[int, Answer] = {}

    def ask(self, row: CallLog) -> Answer:
        """Ask for the download. Raises django.db.Error."""
        with self._turned:
            self._waiting[row.pk] = row
            self._turned.wait_for(lambda: row.pk in self._answers or not self._writing)
            if row.pk not in self._answers:
                self._writing = True
                self._turned.release()  # others add theirs, and whoever has an answer goes on with it
                try:
                    self._write(row)
                finally:
                    self._turned.acquire()
                    self._writing = False
                    self._turned.notify_all()
            answer = self._answers.pop(row.pk)
        tell(row, answer)
        return answer

    def _write(self, row: CallLog) -> None:
        self._gather()
        with self._turned:
            rows, self._waiting = self._waiting, {}
        rows[row.pk] = row  # it may have been in a write that failed
        answers = Recording.objects.ask_each(list(rows.values()), Ask.PLAY)
        with self._turned:
            self._answers |= answers

    def _gather(self) -> None:
        """Wait while requests come that ask for more."""
        until, quiet, asked, since = time.monotonic() + GATHER, 0, 0, turns.taken()
        while quiet < _QUIET and turns.taken() - since < _NOTHING_NEW and time.monotonic() < until:
            if len(self._waiting) > asked:
                asked, since = len(self._waiting), turns.taken()
            quiet = 0 if turns.are_waited_for() else quiet + 1
            time.sleep(_LOOK_EVERY)
