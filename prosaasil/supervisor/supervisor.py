"""The loop that keeps groups of processes alive and ends them all when it is told to stop."""

import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from types import FrameType

from prosaasil.supervisor import processes
from prosaasil.supervisor.group import Group, Program

logger = logging.getLogger("prosaasil.serve")

GRACE = 4.0  # seconds that web and cluster have to stop by themselves
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Runs `programs`, each as a Group; for the main thread only.

    `started(name, leader)` is told of each start, `restarted(name, kind)` of each that was not meant, `stopping()` of
    the first stop.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        started: Callable[[str, int], None] = lambda name, leader: None,
        stopping: Callable[[], None] = lambda: None,
        restarted: Callable[[str, str], None] = lambda name, why: None,
    ) -> None:
        self._on_stop = stopping
        self._selector = selectors.DefaultSelector()
        self._groups = [Group(program, self._selector, started, restarted) for program in programs]
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._told = 0.0  # when we were first told to stop (monotonic)
        self._hurry = False  # told again: at once, then

    def run(self) -> bool:
        """Start everything, keep it alive until a stop signal, end it; True when nothing was left behind."""
        processes.adopt_orphans()
        self._listen_to_signals()
        try:
            while not self._told:
                self._tend(time.monotonic())
                self._wait(min(group.next_moment for group in self._groups))
        finally:
            # A provider that went before the cluster would make its downloads fail.
            self._ask_to_stop([group for group in self._groups if not group.program.last])
            left = [group for group in self._groups if not group.kill()]
        return not left

    def _tend(self, now: float) -> None:
        for group in self._groups:
            if now < group.next_moment:
                continue
            if group.running:
                group.look(now)
            else:
                group.start()

    def _wait(self, until: float) -> None:
        for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
            if key.data is None:
                self._stop_signal()
            else:
                group, pid = key.data
                group.ended(pid)

    def _ask_to_stop(self, groups: list[Group]) -> None:
        deadline = time.monotonic() + GRACE
        for group in groups:
            group.terminate()
        while not self._hurry and (left := [group for group in groups if not group.leader_ended()]):
            if time.monotonic() >= deadline:
                for group in left:
                    facts = {"action": "group_killed", "group": group.program.name}
                    logger.warning("A group did not stop in time and is killed", extra=facts)
                break
            self._wait(deadline)

    def _listen_to_signals(self) -> None:
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for signum in STOP_SIGNALS:
            if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup
                signal.signal(signum, _wake)

    def _stop_signal(self) -> None:
        os.read(self._woken, 64)
        now = time.monotonic()
        if not self._told:
            self._told = now
            self._on_stop()
        # Some senders signal a process and its group, so one stop may come twice: only a later one means impatience.
        self._hurry = self._hurry or now - self._told > 1.0


def _wake(signum: int, frame: FrameType | None) -> None:
    """Python writes the signal's number to the wake-up pipe; there is nothing more to do."""
