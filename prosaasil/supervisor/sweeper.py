"""A thread that puts right, every few seconds, what was left behind."""

import logging
import threading
from collections.abc import Callable

from django.db import close_old_connections, connection

logger = logging.getLogger("prosaasil.serve")


class Sweeper(threading.Thread):
    """Calls `sweep` every `interval` seconds until `stop`.

    A thread, because a slow database must not keep the supervisor from its groups.
    """

    def __init__(self, sweep: Callable[[], object], interval: float = 5.0) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._sweep = sweep
        self._interval = interval
        self._stopping = threading.Event()
        self._last_error: str | None = None

    def run(self) -> None:
        """The thread's life."""
        while not self._stopping.wait(self._interval):
            self.sweep_once()
        connection.close()

    def sweep_once(self) -> None:
        """One sweep. An error is logged when it is another one than the last time, and goes no further."""
        try:
            close_old_connections()
            self._sweep()
            close_old_connections()
        except Exception as error:
            seen, self._last_error = self._last_error, repr(error)
            if seen != self._last_error:
                logger.exception("The sweep failed; it is tried again", extra={"action": "sweep_failed"})
        else:
            if self._last_error is not None:
                logger.warning("The sweep works again", extra={"action": "sweep_recovered"})
            self._last_error = None

    def stop(self, patience: float) -> None:
        """No further sweep; waits up to `patience` seconds for the one that runs."""
        self._stopping.set()
        if self.is_alive():
            self.join(patience)
