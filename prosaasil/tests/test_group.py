"""One group of processes: what counts as a death, and how soon it is started again."""

import errno
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from demo.service import wait_until
from prosaasil.supervisor import group as group_module
from prosaasil.supervisor import processes
from prosaasil.supervisor.group import Group, Program, Why

PARENT_OF_ONE = """
import os, sys, time
child = os.fork()
if not child:
    time.sleep(0.3)
    {end}
os.waitpid(child, 0) if {reap} else None
time.sleep(60)
"""

Make = Callable[[str], Group]


@pytest.fixture
def make() -> Iterator[Make]:
    """Start a group that runs a piece of Python; it is killed at the end."""
    processes.adopt_orphans()
    made: list[Group] = []

    def start(code: str) -> Group:
        group = Group(Program("test", [sys.executable, "-c", code], "test"), selectors.DefaultSelector())
        group.start()
        made.append(group)
        return group

    yield start
    assert all(group.kill() for group in made)


def tended(group: Group) -> Group:
    """The group, after what the supervisor's loop does for it in one round."""
    group.look(time.monotonic())
    for key, _ in group._selector.select(0.01):
        group.ended(key.data[1])
    return group


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_a_child_that_ends_by_an_error_or_a_signal_ends_the_group(make: Make, end: str) -> None:
    group = make(PARENT_OF_ONE.format(end=end, reap=False))
    leader = group.leader
    wait_until(lambda: not tended(group).running, what="the group is given up")
    assert leader is not None
    assert processes.in_session(leader) == []


def test_a_child_that_ends_normally_is_recycled_not_dead(make: Make) -> None:
    group = make(PARENT_OF_ONE.format(end="os._exit(0)", reap=False))
    wait_until(lambda: len(tended(group)._pidfds) == 2, what="the child is watched")
    wait_until(lambda: len(tended(group)._pidfds) == 1, what="the child has ended")
    assert group.running


def test_a_leader_whose_threads_outlive_its_main_thread_is_fetched_too(make: Make) -> None:
    threads = (
        "import ctypes, threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=[60]).start()"
    )
    group = make(f"{threads}\nctypes.CDLL(None).pthread_exit(None)")
    leader = group.leader
    assert leader is not None
    wait_until(group.leader_ended, what="its main thread has ended")
    assert os.waitpid(leader, os.WNOHANG) == (0, 0), "it looks ended, and is not"
    assert group.kill()
    assert processes.read(leader) is None


def test_the_leader_may_not_end_not_even_normally(make: Make) -> None:
    group = make("pass")
    wait_until(lambda: not tended(group).running, what="the group is given up")


def test_a_group_that_dies_again_and_again_waits_longer_each_time_and_one_that_was_well_does_not(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    group = make("pass")

    def deaths(count: int) -> Iterator[float]:
        for _ in range(count):
            wait_until(lambda: not tended(group).running, what="the group has died")
            yield caplog.records[-1].pause  # type: ignore[attr-defined]
            group.start()

    assert list(deaths(6)) == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    monkeypatch.setattr(group_module, "HEALTHY", 0.0)
    assert list(deaths(2)) == [0.5, 0.5]


def test_the_one_line_of_a_restart_names_the_process_and_what_it_died_of(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    restarts = []
    name = "from prosaasil.supervisor.processes import call_me; call_me('pusher')"
    group = make(f"import time; {name}; time.sleep(60)")
    group._on_restart = lambda name, kind: restarts.append((name, kind))
    leader = group.leader
    assert leader is not None
    wait_until(lambda: tended(group)._names.get(leader) == "pusher", what="it has its name")
    os.kill(leader, 9)
    wait_until(lambda: not tended(group).running, what="the group is given up")
    [line] = caplog.records
    assert line.getMessage() == "A group of processes is started again"
    assert (line.why, line.group) == ("pusher: killed by signal 9", "test")  # type: ignore[attr-defined]
    assert restarts == [("test", "died")]


def test_a_process_that_stays_stopped_is_ended_with_its_group(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "LONGEST_STOP", 0.2)
    group = make("import time; time.sleep(60)")
    restarts: list[str] = []
    group._on_restart = lambda name, kind: restarts.append(kind)
    assert group.leader is not None
    os.kill(group.leader, signal.SIGSTOP)
    wait_until(lambda: not tended(group).running, what="the group is given up")
    assert restarts == ["stopped"]


def test_a_child_knows_its_role_and_has_a_session_of_its_own(make: Make) -> None:
    group = make("import time; time.sleep(60)")
    assert group.leader is not None
    leader = group.leader
    wait_until(lambda: processes.has_environment(leader, "PROSAASIL_ROLE", "test"), what="it has been executed")
    assert [process.pid for process in processes.in_session(leader)] == [leader]
    assert os.getsid(0) != leader


def test_a_killed_group_leaves_neither_process_nor_exit_status_behind(make: Make) -> None:
    group = make("import time; time.sleep(60)")
    leader = group.leader
    assert leader is not None
    assert group.kill()
    assert processes.read(leader) is None


def test_a_group_in_trouble_is_started_again_though_nothing_died(make: Make) -> None:
    group = make("import time; time.sleep(60)")
    leader, ages, restarts = group.leader, list[float](), list[tuple[str, str]]()
    assert leader is not None
    assert tended(group).running
    group._on_restart = lambda name, kind: restarts.append((name, kind))

    def in_trouble(age: float) -> Why:
        ages.append(age)
        return Why("still", "idle")

    group.program = replace(group.program, trouble=in_trouble)
    group.look(time.monotonic())
    assert not group.running
    assert processes.in_session(leader) == []
    assert restarts == [("test", "still")]
    assert 0 <= ages[0] < 60


def full(*_args: object, **_options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/groups.new")


def test_a_start_that_a_full_disk_does_not_take_down_is_told_once_and_tried_again(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    group = make("import time; time.sleep(60)")
    told: list[tuple[str, int]] = []
    group._on_start = full
    group.kill()
    group.start()
    for _ in range(3):
        group.look(time.monotonic())
    assert group.running
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "/somewhere/groups.new" in line.error  # type: ignore[attr-defined]
    assert line.do == "make room on this disk"  # type: ignore[attr-defined]
    group._on_start = lambda name, pid: told.append((name, pid))
    for _ in range(2):
        group.look(time.monotonic())
    assert told == [("test", group.leader)]


def test_a_machine_that_can_start_no_process_is_asked_again_later(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = make("import time; time.sleep(60)")
    group.kill()
    with monkeypatch.context() as patch:
        patch.setattr("prosaasil.supervisor.group.subprocess.Popen", full)
        group.start()
    assert not group.running
    assert group.next_moment > time.monotonic()
    assert "can't be started" in caplog.text
    group.start()
    assert group.running
