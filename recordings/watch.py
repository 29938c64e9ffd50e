"""Whether the cluster of this machine works, as `serve` sees it: nothing need have died for nothing to go on.

A worker that dies with the queue's lock leaves the others waiting for ever; a monitor that hangs acknowledges nothing;
a drain that hangs keeps its place. What they have in common: the queue is silent, or recordings wait and none is begun.
"""

import math
from time import monotonic

from django.conf import settings
from django.db.models import Q

from calls.clock import now
from prosaasil.supervisor.group import Why
from recordings import bell
from recordings.download.room import Claimable, claimable
from recordings.models import Attempt, Recording

SILENCE = 45.0
"""Seconds without a sign of life of the queue's pusher, which gives one each second: more than the 30 s that a write of
SQLite may wait, and the 10 s after which django-q2 looks again when its database was away."""

STANDSTILL = 10
"""Seconds in which no attempt was begun, though something waits that may be."""

WAITED = 30
"""Seconds that something has waited by then: the sweep rings again after 15, and a bell wants to be answered."""

CHILDHOOD = 20.0
"""Seconds that a cluster has to begin."""

_FORGOTTEN = 15.0  # seconds after which a verdict says nothing any more: its thread may hang on the database


class ClusterWatch:
    """Looked at by the sweeping thread, which may ask the database; asked by the supervisor, which may not wait."""

    def __init__(self) -> None:
        self._verdict: Why | None = None
        self._suspicion: Why | None = None
        self._found_at = 0.0
        self._answers_since: float | None = None  # the database, without a break

    def look(self) -> None:
        """Judge, by two looks in a row. Raises django.db.Error: without a database the cluster can't be judged."""
        self._verdict, before, self._suspicion = None, self._suspicion, None
        answers_since, self._answers_since = self._answers_since or monotonic(), None
        self._suspicion = found = _found(answers_since)
        self._answers_since = answers_since
        if found and before and found.kind == before.kind:
            self._verdict, self._found_at = found, monotonic()

    def trouble(self, age: float) -> Why | None:
        """Why a cluster of this age, in seconds, must be started again; None while it is well."""
        if age < CHILDHOOD or monotonic() - self._found_at > _FORGOTTEN:
            return None
        return self._verdict


def _found(answers_since: float) -> Why | None:
    """What is wrong now. Silence while the database was away is nobody's fault."""
    may_start = Recording.objects.may_start()  # first: it shows that the database answers
    silent = min(bell.silent_for(), monotonic() - answers_since)
    if silent > SILENCE:
        return Why("silent", f"its queue gave no sign of life for {silent:.0f} s")
    if may_start and _nothing_is_begun():
        return Why("still", f"recordings wait, and none was begun for {STANDSTILL} s")
    return None


def _nothing_is_begun() -> bool:
    """Whether something has waited for a while, slots are free, and nobody begins. A time to come counts as past."""
    old = Q(recording_last_enqueue_at__lte=now(-WAITED)) | Q(recording_last_enqueue_at__gt=now())
    queued = Recording.objects.filter(recording_download_status="queued")
    held = Recording.objects.filter(recording_download_status="downloading")
    return (
        queued.filter(old | Q(recording_last_enqueue_at=None)).exists()
        and held.count() < settings.RECORDINGS_SLOTS * 3 // 4
        and not 0 <= _since_the_last_attempt() < STANDSTILL
        and claimable() is Claimable.ALL  # else it waits for its storage
    )


def _since_the_last_attempt() -> float:
    """Seconds since the newest attempt was begun; infinite when there was none."""
    newest = Attempt.objects.order_by("-pk").annotate(moment=now()).values_list("started_at", "moment").first()
    return (newest[1] - newest[0]).total_seconds() if newest else math.inf
