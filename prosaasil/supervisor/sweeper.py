"""Threads that do something again and again: put right what was left behind, look for alarms."""

import logging
import threading
from collections.abc import Callable
from typing import ClassVar

from django.db import close_old_connections, connection

logger = logging.getLogger("prosaasil.serve")


class Sweeper(threading.Thread):
    """Calls `sweep` every `interval` seconds until `stop`.

    A thread, because a slow database must not keep the supervisor from its groups.
    """

    label: ClassVar = "sweep"
    failed: ClassVar = "The sweep failed; it is tried again"
    recovered: ClassVar = "The sweep works again"
    at_once: ClassVar = True
    """Whether the first is at the start: a supervisor that is killed every few seconds would else never sweep."""

    def __init__(self, sweep: Callable[[], object], interval: float = 5.0) -> None:
        super().__init__(name=f"{self.label}er", daemon=True)
        self._sweep = sweep
        self._interval = interval
        self._stopping = threading.Event()
        self._last_error: str | None = None

    def run(self) -> None:
        """The thread's life."""
        if self.at_once:
            self.sweep_once()
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
                logger.exception(self.failed, extra={"action": f"{self.label}_failed"})
        else:
            if self._last_error is not None:
                logger.warning(self.recovered, extra={"action": f"{self.label}_recovered"})
            self._last_error = None

    def tell_to_stop(self) -> None:
        """No further sweep; waits for nothing."""
        self._stopping.set()

    def stop(self, patience: float) -> None:
        """No further sweep; waits up to `patience` seconds for the one that runs."""
        self.tell_to_stop()
        if self.is_alive():
            self.join(patience)


class Watch(Sweeper):
    """Looks for alarms. A thread apart, because a mail server that does not answer must not keep the sweep waiting."""

    label = "look"
    failed = "Alarms can't be looked for; it is tried again"
    recovered = "Alarms are looked for again"
    at_once = False  # what has just been started is not yet well

    def __init__(self, look: Callable[[], object], interval: float = 30.0) -> None:
        super().__init__(look, interval)
