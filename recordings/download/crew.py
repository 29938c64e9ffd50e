"""The threads of a worker process: they run attempts, and hand the results to its main thread.

Daemon threads of our own: an executor's are joined at exit, and one stalled provider would hold up every stop.
"""

import os
import threading
from collections import deque
from contextlib import suppress
from queue import SimpleQueue

from recordings.download.attempt import Job, crashed, run
from recordings.download.providers.http import Client
from recordings.results import Failed, Finished
from recordings.storage import Storage

Result = tuple[Job, Finished | Failed | None]


class Crew:
    """Grows to as many threads as there were ever jobs at once, `slots` at the most; they stay for the next jobs."""

    def __init__(self, slots: int, client: Client, storage: Storage) -> None:
        self._slots, self._client, self._storage = slots, client, storage
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._results: deque[Result] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._threads = self._under_way = 0
        self._lock = threading.Lock()

    def submit(self, job: Job) -> None:
        """Have `job` run, in a thread that is free or in a new one; it waits for a free one beyond `slots`."""
        with self._lock:
            self._under_way += 1
            wanted = self._threads < min(self._under_way, self._slots)
            if wanted and not self._one_more() and not self._threads:
                self._under_way -= 1
                self._ended(job, crashed(job, MemoryError("No thread can be started.")))
                return
        self._jobs.put(job)

    def fileno(self) -> int:
        """The descriptor that becomes readable when there are results, or a click's first bytes."""
        return self._bell

    def results(self) -> list[Result]:
        """All results since the last call; never waits."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        found = []
        while self._results:
            found.append(self._results.popleft())
        return found

    def _one_more(self) -> bool:
        """Start a thread. False when the machine has none to give: those there are do the job in their turn."""
        try:
            threading.Thread(target=self._work, name=f"download-{self._threads + 1}", daemon=True).start()
        except (RuntimeError, MemoryError):
            return False
        self._threads += 1
        return True

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                result = run(job, self._client, self._storage, self._ring)
            except BaseException as error:  # memory ran out in the middle of saying so; the thread must outlive it
                result = crashed(job, error)
            with self._lock:
                self._under_way -= 1
            self._ended(job, result)

    def _ended(self, job: Job, result: Finished | Failed | None) -> None:
        self._results.append((job, result))
        self._ring()

    def _ring(self) -> None:
        os.eventfd_write(self._bell, 1)
