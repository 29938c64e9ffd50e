"""How long a failed download waits before it is tried again."""

DELAYS = (5, 10, 30, 90)
"""Seconds after the first, second, third and fourth failure in a row."""

ATTEMPTS = len(DELAYS) + 1
"""Tries in all. After the last, the download is exhausted: transient, with no retry of its own; a person may ask."""


def delay(fail_count: int) -> int | None:
    """Seconds to wait after the `fail_count`-th failure in a row (1 is the first); None when that was the last try."""
    return DELAYS[fail_count - 1] if 1 <= fail_count < ATTEMPTS else None
