"""Asking for what listeners want to hear, one transaction at a time in each process."""

import threading

from calls.models import CallLog
from recordings.lifecycle import Answer, Ask, tell
from recordings.models import Recording
from recordings.playback import turns

GATHER = 0.03
"""Seconds that a write waits, at most, for requests that have come and have not had their turn yet."""


class Asks:
    """The askings of this process. What comes together, or while another is written, is written together.

    Twenty recordings that are asked for at once are one write or two, not twenty; and nobody waits for SQLite's lock.
    """

    def __init__(self) -> None:
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._waiting: dict[int, CallLog] = {}
        self._answers: dict[int, Answer] = {}

    def ask(self, row: CallLog) -> Answer:
        """Ask for the download. Raises django.db.Error."""
        with self._lock:
            self._waiting[row.pk] = row
        with self._writing:
            if row.pk not in self._answers:
                turns.let_others_pass(GATHER)
                with self._lock:
                    rows, self._waiting = self._waiting, {}
                rows[row.pk] = row  # it may have been in a write that failed
                self._answers |= Recording.objects.ask_each(list(rows.values()), Ask.PLAY)
            answer = self._answers.pop(row.pk)
        tell(row, answer)
        return answer
