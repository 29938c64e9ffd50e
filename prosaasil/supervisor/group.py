"""One program and all that it starts: a session of its own, watched, ended as one."""

import contextlib
import functools
import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from prosaasil.supervisor import processes
from prosaasil.trouble import is_full

logger = logging.getLogger("prosaasil.serve")

LOOK_AGAIN = 5.0  # seconds between looks for new processes in a group that has settled
HEALTHY = 10.0  # a group that lived this many seconds is well: the pauses begin anew
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds before a start; each is twice the last while the group isn't well
LONGEST_STOP = 60.0  # seconds that a process may stand stopped: another has its work long since
KILL_PATIENCE = 2.0  # seconds that a killed group has to be gone: more is a disk that hangs


class Why(NamedTuple):
    """Why a group is started again: of which kind ("died", "stopped", …), for counting, and in words."""

    kind: str
    words: str


@dataclass(frozen=True)
class Program:
    """What to run. Its processes are told `role` as PROSAASIL_ROLE.

    It is not started before `may_start`, which is asked every 50 ms then. A `last` one is killed after the others.
    What it prints is dropped: processes speak by the log, which is on the other output.
    """

    name: str
    command: Sequence[str]
    role: str
    may_start: Callable[[], bool] = lambda: True
    trouble: Callable[[float], "Why | None"] = lambda age: None
    """Why a group of this age (seconds) must be started again though nothing died; None while it is well.

    Asked often: it must answer at once.
    """
    last: bool = False


class Group:
    """The processes of one Program. `leader` is its main process, whose number is the session's and the group's.

    The leader's exit status is fetched only when all of the group is gone: until then its number can't mean another.
    """

    def __init__(
        self,
        program: Program,
        selector: selectors.BaseSelector,
        started: Callable[[str, int], None] = lambda name, leader: None,
        restarted: Callable[[str, str], None] = lambda name, why: None,
    ) -> None:
        """`started` is told of each start, `restarted` of which kind it was (see Why) when it is one again."""
        self.program = program
        self.leader: int | None = None
        self.next_moment = 0.0  # monotonic: when to start it, or to look for new processes
        self._selector = selector
        self._on_start, self._on_restart = started, restarted
        self._pidfds: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._stopped: dict[int, float] = {}  # since when (monotonic)
        self._changed = 0.0
        self._born = 0.0
        self._pause = FIRST_PAUSE
        self._stopping = False
        self._told = False
        self._trouble = ""

    @property
    def running(self) -> bool:
        """It was started, and nothing of it has failed since."""
        return self.leader is not None

    def start(self) -> None:
        """Start the program in a session of its own, or put it off. If this process dies, its leader gets SIGTERM."""
        if not self.program.may_start():
            self.next_moment = time.monotonic() + 0.05
            return
        try:
            self._leads(self._spawn())
        except OSError as error:  # no process or no memory to be had
            self.next_moment = time.monotonic() + LONGEST_PAUSE
            self._say("A group of processes can't be started; it is tried again", error)

    def look(self, now: float) -> None:
        """Watch the processes that are new in the group: soon after a change, then less and less often."""
        if self.leader is None:
            return
        self._tell()
        for pid in processes.descendants(self.leader) - self._pidfds.keys():
            self._watch(pid)
        self.next_moment = now + min(LOOK_AGAIN, 0.02 + (now - self._changed) / 20)
        if why := self._standstill(now) or self.program.trouble(now - self._born):
            self._restart(why, pid=self.leader)

    def ended(self, pid: int) -> None:
        """A watched process has ended. The leader, a signal or an error: kill the rest, and have it started again."""
        if pid not in self._pidfds:
            return  # it went with its group a moment ago
        process = processes.read(pid)
        status = process.exit_status if process is not None and process.zombie else None
        name = self._names.get(pid, "a process")
        self._unwatch(pid)
        if self._stopping:
            return
        if pid != self.leader and status == 0:
            self._changed = self.next_moment = time.monotonic()  # recycled: another will take its place
            return
        self._restart(Why("died", f"{name}: {processes.describe_exit(status)}"), pid=pid)

    def terminate(self) -> None:
        """Ask the leader, and it alone, to stop: a cluster whose workers get the signal too hangs."""
        self._stopping = True
        if self.leader is not None and self.leader in self._pidfds:
            processes.send(self._pidfds[self.leader], signal.SIGTERM)

    def leader_ended(self) -> bool:
        """Whether there is nothing more to wait for."""
        process = processes.read(self.leader) if self.leader is not None else None
        return process is None or process.zombie

    def kill(self) -> bool:
        """End all processes of the group now; True when none is left."""
        if self.leader is None:
            return True
        leader, self.leader = self.leader, None
        gone = self._kill_session(leader)
        for pid in list(self._pidfds):
            self._unwatch(pid)
        if not gone:
            logger.error("A killed group has processes left", extra=self._extra("group_not_gone", pid=leader))
        return gone

    def _spawn(self) -> int:
        child = subprocess.Popen(  # noqa: S603 - the command is our own
            list(self.program.command),
            env=os.environ | {"PROSAASIL_ROLE": self.program.role},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=functools.partial(processes.die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509 - takes no lock
        )
        child.returncode = 0  # the exit status is fetched by _reap, not by subprocess
        return child.pid

    def _leads(self, pid: int) -> None:
        self.leader, self._told = pid, False
        self._born = self._changed = self.next_moment = time.monotonic()
        self._watch(pid)
        self._tell()

    def _tell(self) -> None:
        """Have the start written down. On a full disk the group runs all the same, and each look tries again."""
        if self._told or self.leader is None:
            return
        try:
            self._on_start(self.program.name, self.leader)
        except OSError as error:
            self._say("A group that runs can't be written down; it is tried again", error)
        else:
            self._told, self._trouble = True, ""

    def _restart(self, why: Why, pid: int) -> None:
        """End all of it, and have it started again in a while; `pid` is whose fault it was."""
        age = time.monotonic() - self._born
        pause = FIRST_PAUSE if age > HEALTHY else self._pause
        self._pause = min(2 * pause, LONGEST_PAUSE)
        facts = self._extra("group_restarted", why=why.words, pid=pid, age=round(age, 1), pause=pause)
        logger.warning("A group of processes is started again", extra=facts)
        self._on_restart(self.program.name, why.kind)
        self.kill()
        self.next_moment = time.monotonic() + pause

    def _standstill(self, now: float) -> Why | None:
        """Names the processes, in passing, and tells of one that was stopped and forgotten."""
        for pid in self._pidfds:
            process = processes.read(pid)
            if process is None:
                continue
            self._names[pid] = process.name
            if not process.stopped:
                self._stopped.pop(pid, None)
            elif now - self._stopped.setdefault(pid, now) > LONGEST_STOP:
                return Why("stopped", f"{process.name} ({pid}): stopped for more than {LONGEST_STOP:.0f} s")
        return None

    @staticmethod
    def _kill_session(leader: int) -> bool:
        deadline = time.monotonic() + KILL_PATIENCE
        while True:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)
            left = [process for process in processes.in_session(leader) if process.pid != leader or not process.zombie]
            for process in left:
                if process.zombie:
                    _reap(process.pid)  # its parent is gone, or will be in a moment: then it is ours
                else:
                    processes.kill(process.pid)  # it may have made a process group of its own
            # A leader looks ended when its main thread is; its status can be fetched when its other threads are, too.
            if (not left and _reap(leader)) or time.monotonic() > deadline:
                return all(process.zombie for process in left)
            time.sleep(0.005)

    def _watch(self, pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return  # it was there a moment ago; a process that comes and goes is not a worker
        self._pidfds[pid] = pidfd
        self._selector.register(pidfd, selectors.EVENT_READ, (self, pid))
        self._changed = time.monotonic()

    def _unwatch(self, pid: int) -> None:
        pidfd = self._pidfds.pop(pid)
        self._names.pop(pid, None)
        self._stopped.pop(pid, None)
        self._selector.unregister(pidfd)
        os.close(pidfd)

    def _say(self, words: str, error: OSError) -> None:
        """One line for a trouble, however often it comes back."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            do = "make room on this disk" if is_full(error) else "see what the machine lacks"
            logger.error(words, extra=self._extra("group_trouble", error=self._trouble, do=do))

    def _extra(self, action: str, **facts: object) -> dict[str, object]:
        return {"action": action, "group": self.program.name, **facts}


def _reap(pid: int) -> bool:
    """Fetch its exit status. False while there is none to fetch yet."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True  # it is not ours, or has been fetched
