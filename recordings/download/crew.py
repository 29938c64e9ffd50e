"""The threads of a worker process: they run attempts, and hand the results to its main thread.

Daemon threads of our own: an executor's are joined at exit, and one stalled provider would hold up every stop.
"""

import os
import threading
from collections import deque
from contextlib import suppress
from queue import SimpleQueue

from recordings.download.attempt import Job, run
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
            if self._threads < min(self._under_way, self._slots):
                self._threads += 1
                threading.Thread(target=self._work, name=f"download-{self._threads}", daemon=True).start()
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

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            result = run(job, self._client, self._storage, self._ring)
            with self._lock:
                self._under_way -= 1
            self._results.append((job, result))
            self._ring()

    def _ring(self) -> None:
        os.eventfd_write(self._bell, 1)
