"""Processes that call the queue verb, all at once: `python -m faults.provider.askers PROCESSES CALLS SEED`.

One process that forks, so that fifty of them cost one start; on the database of DATABASE_URL, on all recordings there.
Most calls are `ask` with a row as it was read at the start, which says missing long after it is queued; one in twenty
is `queue`, the bare UPDATE. Prints one JSON line: answers by count, and errors.
"""

import copy
import json
import os
import random
import sys
from collections import Counter

from django.db import Error, connection

from faults.provider.report import quiet
from recordings.lifecycle import Ask
from recordings.models import Recording

BARE = 0.05
"""How many of the calls are the bare UPDATE, which takes SQLite's lock each time and so lets few through a second."""


def ask_often(calls: int, seed: int) -> Counter[str]:
    """Ask so many times; how often each answer came. An error of the database is counted by its words."""
    rng, answers = random.Random(seed), Counter[str]()
    rows = list(Recording.objects.all())
    rng.shuffle(rows)
    for number in range(calls):
        row = rows[number % len(rows)]  # each process walks all rows, in an order of its own
        try:
            if rng.random() > BARE:
                answers[Recording.objects.ask(copy.copy(row), Ask.PLAY)] += 1
            else:
                queued = Recording.objects.filter(pk=row.pk).queue(Ask.PLAY)
                answers["enqueued" if queued else "not queued"] += 1
        except Error as error:
            answers[f"error: {error}"] += 1
    return answers


def main() -> int:
    """See the module."""
    processes, calls, seed = map(int, sys.argv[1:])
    quiet()
    connection.close()
    gate, opened = os.pipe()
    results = []
    for number in range(processes):
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(opened)
            os.read(gate, 1)  # until it is closed, by the parent, for all at once
            os.write(write, json.dumps(ask_often(calls, seed + number)).encode())
            os._exit(0)
        os.close(write)
        results.append(read)
    os.close(opened)
    total = Counter[str]()
    for read in results:
        with os.fdopen(read, "rb") as pipe:
            total.update(json.loads(pipe.read()))
    while processes:
        _, status = os.wait()
        if status:
            total[f"error: a process ended with {status}"] += 1
        processes -= 1
    sys.stdout.write(json.dumps(total) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
