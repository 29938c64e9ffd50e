"""What Linux says about processes: /proc, pidfds and prctl. Knows nothing of what the processes do."""

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
PROC = Path("/proc")

_KERNEL_LISTS_CHILDREN = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Process:
    """A process as /proc has it; `exit_status`, as wait(2) gives it, is right for a zombie only."""

    pid: int
    name: str
    parent: int
    session: int
    state: str
    exit_status: int

    @property
    def zombie(self) -> bool:
        """It has ended, and its parent has not asked how."""
        return self.state in "ZX"

    @property
    def stopped(self) -> bool:
        """It was stopped by a signal, and does nothing until it is continued. (A debugger's hold is another state.)"""
        return self.state == "T"


def read(pid: int) -> Process | None:
    """The process of that number, or None when there is none (proc(5), /proc/pid/stat)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in parentheses and may hold anything, parentheses too: what counts comes after the last one.
    name, fields = line[line.index(b"(") + 1 : line.rindex(b")")], line[line.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        name=name.decode(errors="replace"),
        parent=int(fields[1]),
        session=int(fields[3]),
        state=fields[0].decode(),
        exit_status=int(fields[49]),
    )


def everyone() -> Iterator[Process]:
    """Every process that this user can see, zombies too."""
    for name in os.listdir(PROC):
        if name.isdigit() and (process := read(int(name))) is not None:
            yield process


def in_session(session: int) -> list[Process]:
    """The processes of one session (setsid(2)), zombies too; also those whose parents are gone."""
    return [process for process in everyone() if process.session == session]


def descendants(pid: int) -> set[int]:
    """The process and what main threads forked below it, as long as parents live. Cheap, since it is asked often."""
    found, open_ends = {pid}, [pid]
    while open_ends:
        parent = open_ends.pop()
        try:
            with open(f"/proc/{parent}/task/{parent}/children", "rb") as file:
                children = {int(child) for child in file.read().split()}
        except (FileNotFoundError, ProcessLookupError):
            if not _KERNEL_LISTS_CHILDREN:
                return {process.pid for process in in_session(pid)}
            continue
        open_ends += children - found
        found |= children
    return found


def has_environment(pid: int, name: str, value: str) -> bool:
    """Whether the process was started with NAME=value in its environment; False where that may not be read."""
    try:
        return f"{name}={value}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def send(pidfd: int, signum: signal.Signals) -> None:
    """Signal a process by its pidfd, which can't mean another one; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signum)


def kill(pid: int) -> None:
    """SIGKILL; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def allow_descriptors(most: int = 65_536) -> int:
    """Raise this process's own limit of open files, and so that of all it starts, as far as it may; the new limit.

    A shell's 1024 is what two hundred listeners of one web process need at their worst.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def describe_exit(status: int | None) -> str:
    """How a process ended, in words for a log; `status` as wait(2) gives it, None where the parent was quicker."""
    if status is None:
        return "ended; only its parent knows how"
    code = os.waitstatus_to_exitcode(status)
    return f"killed by signal {-code}" if code < 0 else f"exit {code}"


def die_with_parent(parent: int, signum: signal.Signals) -> None:
    """Ask the kernel to send this process `signum` when `parent` dies; if that has happened already, send it now.

    To be called by the child. Lasts over exec, is not inherited by children (prctl(2), PR_SET_PDEATHSIG).
    """
    _libc.prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def call_me(name: str) -> None:
    """Name this thread's task, the main thread's being the process's: what `ps -o comm` and `top` show (15 bytes)."""
    _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent dies, so that it can reap them."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
