"""A drain: downloads what waits, many at once, clicks first. One runs in the main thread of a django-q2 worker.

The main thread claims rows and writes results, in batches; a crew of threads does the network and the disk. So the
database sees one connection a drain, and a stalled provider costs a thread, not a worker.
"""

import contextlib
import functools
import gc
import logging
import math
import os
import select
import socket
import sys
from time import monotonic

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, connections, transaction

from recordings import bell
from recordings.announcement import announce
from recordings.away import NO_DESCRIPTORS, tell_out_of
from recordings.claims import CLAIMED, LEASE
from recordings.download import stopping
from recordings.download.attempt import Job
from recordings.download.claiming import claim
from recordings.download.crew import Crew
from recordings.download.errors import Stalled, out_of_descriptors
from recordings.download.places import Lock, closing, free_place
from recordings.download.providers.http import Client
from recordings.download.room import Claimable, claimable
from recordings.download.settling import GATHER, Settling
from recordings.leases import BEAT_EVERY
from recordings.models import Recording
from recordings.results import Begun, Held
from recordings.storage import default_storage

log = logging.getLogger(__name__)

CLAIM_FOR = 60.0
"""Seconds for which a drain claims; then it closes, so that a task of the queue ends in bounded time."""
STOP_AFTER = LEASE - 6.0
"""Seconds after its last good beat when a download stops itself: before anyone else may take its recording."""
LOOK_EVERY = 1.0
ANNOUNCE_AFTER = 0.5
GIVE_BACK_WITHIN = 2.0
LINGER = 10.0
"""Seconds that a drain stays after its last job: who plays one recording soon plays the next, and finds it awake."""

ATTENTIVE = 60.0
"""Seconds after a click for which the background makes way for the next one, at a tenth of its speed: what is claimed
together begins spread out, and a thread that wants the interpreter has it after SWITCH_SOON. The main thread gives the
interpreter up at each query, and a click that found two dozen answers coming in waited for all of them each time."""
SWITCH_SOON = 0.0005
SWITCH_EVERY = sys.getswitchinterval()


def drain(crew: Crew | None = None, *, linger: float = 0.0) -> int:
    """Take a free place and download until nothing waits. How many attempts ended; 0 when every place was taken.

    `crew`: threads of its own, for a second drain in one process; else the process's. `linger`: seconds to stay for
    more, in the first place.
    """
    try:
        place = None if stopping.is_told() else free_place()
        if place is None:
            return 0
        number, lock = place
        with lock, bell.Listener(bell.socket_path(f"drain-{number}")) as listener, closing() as closing_right:
            ended = Drain(listener, closing_right, crew or _crew(os.getpid()), linger=0 if number else linger).run()
    except OSError as error:
        if not out_of_descriptors(error):
            raise
        tell_out_of(NO_DESCRIPTORS, error)
        return 0  # the sweep rings again for what waits
    # Whatever came between its last look and now found no free place, and its bell returned at once.
    if not stopping.is_told() and Recording.objects.may_start():
        with transaction.atomic():
            bell.ring()
    return ended


@functools.lru_cache(maxsize=1)
def _crew(pid: int) -> Crew:
    """The threads and connections of this process, kept from drain to drain. `pid`: a fork makes its own."""
    return new_crew()


def new_crew() -> Crew:
    """Threads and connections as the settings say."""
    return Crew(settings.RECORDINGS_SLOTS, _client(), default_storage())


def warm_up() -> None:
    """For a process from which workers are forked: load and read what a first download needs, for all to share.

    A worker's first click else waits 0.15 s for modules, certificates and Django's first look at a model.
    """
    _client().close()
    with contextlib.suppress(DatabaseError):
        Recording.objects.may_start()
        Recording.objects.waiting().order_by("pk").only(*CLAIMED).first()
    connections.close_all()
    gc.collect()
    gc.freeze()  # or the workers' first collection would copy every page they share


def _client() -> Client:
    allowed = settings.RECORDINGS_ALLOW_PRIVATE_HOSTS
    return Client(
        settings.RECORDINGS_SLOTS, allowed, settings.RECORDINGS_CONNECT_TIMEOUT, settings.RECORDINGS_READ_TIMEOUT
    )


class Drain:
    """One drain's work, from its first claim to its last result."""

    def __init__(self, listener: bell.Listener, closing_right: Lock, crew: Crew, linger: float = 0.0) -> None:
        self._listener, self._closing_right, self._crew, self._linger = listener, closing_right, crew, linger
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._jobs: dict[Held, Job] = {}
        self._announced: set[Held] = set()
        self._results = Settling(self._forget)
        self._claim_until = monotonic() + CLAIM_FOR
        self._closing = self._database_is_away = False
        self._next_beat = monotonic() + BEAT_EVERY
        self._next_look = self._stay_until = 0.0
        self._full_haul = False
        self._claimed_at = self._attentive_until = 0.0
        self._ended = 0

    def run(self) -> int:
        """Work until nothing waits, nothing is under way and the lingering is over, or until the cluster stops.

        How many attempts ended.
        """
        while not stopping.is_told():
            try:
                self._claim()
                if not self._may_stay():
                    break
                self._wait()
                self._settle()
                self._announce()
                self._beat()
                self._database_is_away = False
            except (DatabaseError, MemoryError) as error:
                self._database_away(error)
                if not self._jobs:
                    break
            self._stop_the_overdue()
        self._give_back()
        return self._ended

    def _may_stay(self) -> bool:
        """Whether there is something to do, or was until a moment ago."""
        if self._jobs:
            self._stay_until = monotonic() + self._linger
        return bool(self._jobs) or (monotonic() < self._stay_until and not self._closing)

    # --- claiming

    def _may_claim(self) -> bool:
        """Whether it still claims. Once its time is over, it closes as soon as no other drain is closing.

        Then it rings: another drain may take the other place and go on with what waits.
        """
        if not self._closing and monotonic() >= self._claim_until and self._closing_right.take():
            self._closing = True
            self._listener.hide()  # who does not claim is none whom a bell may wait for
            if self._jobs:
                with transaction.atomic():
                    bell.ring()
        return not self._closing

    def _claim(self) -> None:
        """Fill the free slots: anything up to three quarters of them, clicks into the rest."""
        woken = self._listener.clear()
        if not woken and monotonic() < self._next_look:
            return
        if not self._may_claim():
            self._next_look, self._full_haul = math.inf, False  # from now on only its own results matter
            return
        if (storage_takes := claimable()) is not Claimable.ALL:
            self._claim_without_room(storage_takes)
            return
        slots = settings.RECORDINGS_SLOTS
        free = slots - len(self._jobs)
        bulk = sum(not job.click for job in self._jobs.values())
        room = max(0, min(free, slots - slots // 4 - bulk))
        taken = self._start(room, more=woken or self._full_haul) if room else []
        self._full_haul = len(taken) == room  # more may wait: look again as soon as a slot is free
        if self._full_haul and free > room and all(job.click for job in taken):  # a bulk job among them: no click left
            self._start(free - room, clicks_only=True)
        self._next_look = 0.0 if self._full_haul else monotonic() + LOOK_EVERY

    def _claim_without_room(self, storage_takes: Claimable) -> None:
        """The storage takes nothing now. What waits goes on waiting, and no try is spent; look again each second.

        Clicks are taken where the storage is there and can't be written: a person is told why.
        """
        if storage_takes is Claimable.CLICKS:
            self._start(settings.RECORDINGS_SLOTS - len(self._jobs), clicks_only=True)
        self._next_look, self._full_haul = monotonic() + LOOK_EVERY, False
        self._stay_until = monotonic() + 2 * LOOK_EVERY

    def _start(self, limit: int, *, clicks_only: bool = False, more: bool = False) -> list[Job]:
        before = monotonic()
        jobs = claim(limit, worker=self._worker, clicks_only=clicks_only, more=more)
        attentive = self._attentive(any(job.click for job in jobs))
        spread, self._claimed_at = min(GATHER, before - self._claimed_at) if attentive else 0.0, before
        for place, job in enumerate(jobs):
            self._jobs[job.held] = job
            job.transfer.good_until = before + STOP_AFTER
            job.begin_after = 0.0 if job.click else spread * place / len(jobs)
            self._crew.submit(job)
        return jobs

    def _attentive(self, clicked: bool) -> bool:
        """Whether somebody has clicked in the last minute; how soon threads switch goes with it."""
        if clicked:
            self._attentive_until = monotonic() + ATTENTIVE
        attentive = monotonic() < self._attentive_until
        sys.setswitchinterval(SWITCH_SOON if attentive else SWITCH_EVERY)
        return attentive

    # --- waiting and settling

    def _wait(self) -> None:
        """Until a result, a wake-up, or the next thing that is due."""
        if self._full_haul and len(self._jobs) < settings.RECORDINGS_SLOTS // 2:
            return  # slots are free and more may wait
        deadline = min((job.transfer.left for job in self._jobs.values() if job.transfer.left > 0), default=LOOK_EVERY)
        results = self._results.due_in(len(self._jobs))
        timeout = max(0.0, min(LOOK_EVERY, self._next_beat - monotonic(), deadline + 0.01, results))
        select.select([self._listener.fileno(), self._crew.fileno()], [], [], timeout)

    def _settle(self, *, at_once: bool = False) -> None:
        """Write the results that have come, and look again: an account at its cap has room now."""
        self._results.take(self._crew.results())
        if (at_once or self._results.due_in(len(self._jobs)) <= 0) and self._results.settle():
            self._next_look = math.inf if self._closing else 0.0

    def _forget(self, job: Job) -> None:
        self._ended += self._jobs.pop(job.held, None) is not None
        self._announced.discard(job.held)
        if job.kept:
            job.kept.close()

    # --- keeping the leases

    def _announce(self) -> None:
        """Tell the rows what has begun to come."""
        if begun := [_begun(job) for job in self._jobs.values() if self._is_to_announce(job)]:
            announce(begun)
            self._announced.update(one.held for one in begun)

    def _is_to_announce(self, job: Job) -> bool:
        """Of clicks it is at once, else of downloads long enough for anyone to care."""
        transfer = job.transfer
        if job.held in self._announced or transfer.content_type is None:
            return False
        # one that is here already will be ready before anyone can have asked
        late = transfer.bytes_done != transfer.bytes_total and monotonic() - transfer.started > ANNOUNCE_AFTER
        return job.click or late

    def _beat(self) -> None:
        """Renew the leases in time; stop what has lost its own."""
        if monotonic() < self._next_beat:
            return
        before = monotonic()
        held = Recording.objects.beat(list(self._jobs))
        self._next_beat = before + BEAT_EVERY
        for lease, job in self._jobs.items():
            if lease in held:
                job.transfer.good_until = before + STOP_AFTER
            else:
                job.transfer.abort(None)

    def _stop_the_overdue(self) -> None:
        """End transfers at their deadline, and those whose lease could not be renewed."""
        for job in self._jobs.values():
            if job.transfer.good_until < monotonic():
                job.transfer.abort(None)
            elif job.transfer.left <= 0:
                job.transfer.abort(Stalled())

    def _database_away(self, error: DatabaseError | MemoryError) -> None:
        """Go on without it as long as the leases last; results wait in memory. Said once, until it is back.

        The same where there is no memory to ask it with.
        """
        if not self._database_is_away:
            facts = {"action": "drain", "jobs": len(self._jobs), "error": str(error) or type(error).__name__}
            starved = isinstance(error, MemoryError)
            log.error("Out of memory while downloading" if starved else "Database away while downloading", extra=facts)
        self._database_is_away = True
        connection.close()
        self._next_look = monotonic() + LOOK_EVERY
        self._listener.wait(LOOK_EVERY)
        for job in list(self._jobs.values()):
            if job.transfer.good_until < monotonic():  # whoever sweeps may have it by now
                job.transfer.abort(None)
                self._forget(job)
        self._results.keep_only(self._jobs)

    def _give_back(self) -> None:
        """At a stop: end what runs, keep what has just become whole, give back the rest."""
        for job in self._jobs.values():
            job.transfer.abort(None)
        until = monotonic() + GIVE_BACK_WITHIN
        while self._jobs and monotonic() < until:
            select.select([self._crew.fileno()], [], [], until - monotonic())
            self._settle(at_once=True)
        if self._jobs:
            Recording.objects.give_back(list(self._jobs))


def _begun(job: Job) -> Begun:
    transfer = job.transfer
    content_type, validator = transfer.content_type or "", transfer.validator or ""
    return Begun(job.held, transfer.bytes_total, content_type, transfer.version, validator)
