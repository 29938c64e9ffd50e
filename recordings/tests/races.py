"""Many at once on the real database: racers that start together, each with a connection of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from django.db import connection, connections

from calls.models import PRIORITY_CLICK, RecordingStatus
from recordings.lifecycle import Answer, Ask, RecordingQuerySet
from recordings.models import Attempt, ProviderAccount, Recording
from recordings.tests.rows import bells, recording

T = TypeVar("T")
WAIT = 60.0
"""Seconds after which a racer that hangs fails its test."""


def race(*racers: Callable[[], T]) -> list[T]:
    """Run all of them at the same moment; their results in order. The first error of any is raised."""
    start = threading.Barrier(len(racers))
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(number: int, racer: Callable[[], T]) -> None:
        try:
            connection.ensure_connection()
            start.wait(WAIT)
            results[number] = racer()
        except BaseException as error:
            errors.append(error)
            start.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number, racer), daemon=True) for number, racer in enumerate(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not any(thread.is_alive() for thread in threads), "a racer hangs"
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(racers))]


def one_racer_queues_one_row(recordings: RecordingQuerySet, racers: int = 50) -> None:
    """The check: of many that ask for one recording, one is told `enqueued`, and one bell rings."""
    row = recording()

    def click() -> Answer:
        return recordings.ask(Recording.objects.get(pk=row.pk), Ask.PLAY)

    answers = race(*[click] * racers)
    assert sorted(set(answers)) in ([Answer.ENQUEUED], [Answer.ENQUEUED, Answer.UNDER_WAY])
    assert answers.count(Answer.ENQUEUED) == 1
    assert bells() == 1


def each_row_is_claimed_once(recordings: RecordingQuerySet, claimers: int = 8, count: int = 200) -> None:
    """The check: workers that claim together until nothing waits have each row once, and one attempt for each."""
    for _ in range(count):
        recording(RecordingStatus.QUEUED, priority=PRIORITY_CLICK)
    ProviderAccount.objects.update(most_at_once=count)

    def claim() -> list[int]:
        mine: list[int] = []
        while True:
            got = recordings.start(7, worker=threading.current_thread().name)
            mine += [row.pk for row in got]
            if not got and not Recording.objects.waiting().exists():
                return mine

    claimed = sorted(pk for mine in race(*[claim] * claimers) for pk in mine)
    assert claimed == sorted(Recording.objects.values_list("pk", flat=True))
    assert Attempt.objects.count() == count


def in_processes(code: str, arguments: Iterable[Sequence[object]]) -> list[str]:
    """Run `code` in a process of its own for each arguments, on the test's database, at once; what they print."""
    environment = os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "prosaasil.settings"}
    program = f"import django; django.setup()\n{code}"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, own)], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for own in arguments
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    printed = [""] * len(started)
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for number, process in enumerate(started):
        printed[number], _ = process.communicate(timeout=WAIT)
        assert process.returncode == 0
    return printed


def database_url() -> str:
    """The test's database, for another process."""
    own = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{own['NAME']}"
    user = own["USER"] + (f":{own['PASSWORD']}" if own["PASSWORD"] else "")
    return f"postgres://{user}@{own['HOST']}:{own['PORT']}/{own['NAME']}"
