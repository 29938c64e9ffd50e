"""Fixtures of the recordings' tests."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from django.db import connection

if TYPE_CHECKING:
    from recordings.tests.transitions import Witness


@pytest.fixture
def witness(db: None) -> "Iterator[Witness]":
    """Watches every write of a status; the test fails if one was illegal, unless it called `forget`."""
    from recordings.tests.transitions import Witness  # models: not before Django is set up

    watching = Witness()
    watching.watch()
    yield watching
    offences = watching.offences()
    if not connection.in_atomic_block:  # else the test's rollback takes it away
        watching.dismiss()
    assert offences == []
