"""django-q2's ORM broker, woken at once instead of polling."""

import logging
import os
from time import monotonic, sleep

from django.db import OperationalError, close_old_connections, transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django_q.brokers.orm import ORM

from calls.clock import now
from recordings import bell
from recordings.away import look_at_storage
from recordings.download import stopping
from recordings.models import Recording
from recordings.storage import StorageAway, default_storage

log = logging.getLogger(__name__)

LONGEST_SLEEP = 1.0
"""Seconds. Also how late a retry can start, and how long a lost wake-up costs."""

HOLD = 0.1
"""Seconds that a bell waits for a drain at work to take up what it rings for, before it becomes a task."""


class WakingBroker(ORM):  # type: ignore[misc]
    """Reads the queue, and then sleeps until a wake-up, until the next retry is due, or for a second.

    Made in every process that rings or works; only the pusher dequeues, so only it listens.
    """

    _listener: bell.Listener | None = None
    _look_around_at = 0.0

    def dequeue(self) -> list[tuple[int, str]] | None:
        """The next bells, as django-q2 wants them; None after a sleep (ours: with `poll` 0 the base class has none)."""
        if self._listener is None:
            self._listener = bell.Listener(bell.socket_path("cluster"))
        woken = self._listener.clear()
        if bell.a_drain_listens():
            if woken and not stopping.is_told():
                sleep(HOLD)
            _remove_answered_bells()
        tasks = super().dequeue()
        if not tasks or monotonic() > self._look_around_at:  # a click before housekeeping
            self._look_around_at = monotonic() + LONGEST_SLEEP
            _give_sign_of_life()
            look_at_storage()
            Recording.objects.retry_due()
        if tasks:
            return list(tasks)
        if woken:
            _ring_for_the_promoted()
        # The cluster wakes us before it tells us to stop, so from then on look often.
        self._listener.wait(0.05 if stopping.is_told() else _until_next_retry())
        return None

    def acknowledge(self, task_id: int) -> bool:
        """The task has ended. A database that can't write that down (a full disk) would end django-q2's monitor."""
        try:
            return bool(super().acknowledge(task_id))
        except OperationalError:
            log.exception("The end of a task can't be written down; it may run again, and find nothing to do")
            return False


def _remove_answered_bells() -> None:
    """What a drain at work has answered needs no task, which takes three processes to find every place taken.

    Bells are looked at first, and rows afterwards: a bell that rings in between is not among those removed. While
    anything may be begun, none is: that drain may be full, or hang.
    """
    close_old_connections()
    bells = bell.rung()
    if not bells or Recording.objects.may_start():
        return
    bell.untaken().filter(pk__in=bells).delete()
    if Recording.objects.may_start():  # bulk work may have relied on one of them, and not rung
        with transaction.atomic():
            bell.ring()


def _ring_for_the_promoted() -> None:
    """A click on what waits already rings no bell, only wakes; the one that had rung may have been answered in vain.

    An account rests, say: a drain found nothing to begin, and left. A click need not wait for the rest to end.
    """
    if not bell.a_drain_listens() and not bell.rung() and Recording.objects.may_start():
        with transaction.atomic():
            bell.ring()


def _give_sign_of_life() -> None:
    """Say that the cluster lives, and which storage it writes to: the web compares that with its own."""
    try:
        storage = default_storage().marker()
    except StorageAway:
        storage = ""
    with open(os.open(bell.sign_of_life(), os.O_WRONLY | os.O_CREAT, 0o640), "w") as sign:
        os.utime(sign.fileno())
        sign.write(storage)  # over what is there, and cut afterwards: on a full disk it lives as well
        sign.truncate()


def _until_next_retry() -> float:
    """Seconds until a retry is due, at most LONGEST_SLEEP; by the database's clock, whatever this machine's says."""
    wait = ExpressionWrapper(F("recording_next_retry_at") - now(), output_field=DurationField())
    soonest = Recording.objects.backing_off().order_by("recording_next_retry_at").values_list(wait)[:1]
    left = [row[0].total_seconds() for row in soonest]
    return min(LONGEST_SLEEP, max(0.01, *left)) if left else LONGEST_SLEEP
