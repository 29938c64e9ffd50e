"""What django-q2 runs, by name. Each fetches nothing, decides nothing: it delegates and returns a number."""

from recordings.alarms import looking
from recordings.download import sweeping, worker


def drain() -> int:
    """Answer a bell: download what waits. How many attempts ended here; 0 when no place was free or nothing waited."""
    return worker.drain(linger=worker.LINGER)


def sweep() -> int:
    """Put right what was left behind: dead workers' leases, due retries, silent queues. How many rows."""
    return sweeping.sweep().total


def clean_up() -> int:
    """Remove what nothing refers to any more. How many files and records."""
    return sweeping.clean_up()


def look() -> int:
    """Look whether an alarm is to be raised or cleared, and tell. How many were, and how many messages were sent."""
    return looking.look()
