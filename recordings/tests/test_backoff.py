"""How long a failed download waits."""

import pytest

from recordings import backoff


@pytest.mark.parametrize(("fail_count", "seconds"), [(1, 5), (2, 10), (3, 30), (4, 90)])
def test_each_failure_in_a_row_waits_longer(fail_count: int, seconds: int) -> None:
    assert backoff.delay(fail_count) == seconds


@pytest.mark.parametrize("fail_count", [5, 6, 100])
def test_the_last_try_is_not_followed_by_another(fail_count: int) -> None:
    assert backoff.delay(fail_count) is None


@pytest.mark.parametrize("fail_count", [0, -1])
def test_what_has_not_failed_does_not_wait(fail_count: int) -> None:
    assert backoff.delay(fail_count) is None


def test_there_are_five_tries() -> None:
    assert backoff.ATTEMPTS == 5
