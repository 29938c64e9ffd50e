"""Asking for what listeners want to hear, one transaction at a time in each process."""

import threading
import time
from typing import cast

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


class _Asker:
    """One who waits to have asked."""

    def __init__(self, row: CallLog) -> None:
        self.row = row
        self.answer: Answer | None = None
        self.error: BaseException | None = None


class Asks:
    """The askings of this process. What comes together, or while another is written, is written together.

    Twenty recordings that are asked for at once are one write or two, not twenty; and nobody waits for SQLite's lock.
    """

    def __init__(self) -> None:
        self._turned = threading.Condition()
        self._writing = False
        self._waiting: list[_Asker] = []

    def ask(self, row: CallLog) -> Answer:
        """Ask for the download. Raises django.db.Error, to all who were written together."""
        me = _Asker(row)
        with self._turned:
            self._waiting.append(me)
            self._turned.wait_for(lambda: me.answer or me.error or not self._writing)
            mine = not (me.answer or me.error)
            self._writing = self._writing or mine
        if mine:
            self._write()
        if me.answer is None:
            raise cast(BaseException, me.error)
        tell(row, me.answer)
        return me.answer

    def _write(self) -> None:
        """For all who wait, the caller among them."""
        together: list[_Asker] = []
        try:
            self._gather()
            with self._turned:
                together, self._waiting = self._waiting, []
            answers = Recording.objects.ask_each(list({one.row.pk: one.row for one in together}.values()), Ask.PLAY)
            for one in together:
                one.answer = answers[one.row.pk]
        except BaseException as error:
            for one in together:
                one.error = error
            raise
        finally:
            with self._turned:
                self._writing = False
                self._turned.notify_all()

    def _gather(self) -> None:
        """Wait while requests come that ask for more."""
        until, quiet, asked, since = time.monotonic() + GATHER, 0, 0, turns.taken()
        while quiet < _QUIET and turns.taken() - since < _NOTHING_NEW and time.monotonic() < until:
            if len(self._waiting) > asked:
                asked, since = len(self._waiting), turns.taken()
            quiet = 0 if turns.are_waited_for() else quiet + 1
            time.sleep(_LOOK_EVERY)
