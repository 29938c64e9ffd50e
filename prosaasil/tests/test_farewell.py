"""A thread that has ended has no database connection open, though no garbage is collected and no request comes."""

import gc
import os
import threading
from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from calls.models import CallLog
from demo.service import wait_until
from prosaasil.farewell import close_with_threads

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def farewell() -> Iterator[None]:
    close_with_threads()
    gc.disable()
    yield
    gc.enable()
    connection_created.disconnect(dispatch_uid="farewell")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def in_threads(number: int) -> None:
    for _ in range(number):
        thread = threading.Thread(target=CallLog.objects.exists)
        thread.start()
        thread.join()


@pytest.mark.skipif(connection.vendor == "postgresql", reason="there each request gives its connection back")
def test_threads_that_end_close_their_connections(farewell: None) -> None:
    connection.close()  # SQLite keeps descriptors of closed files for later, as long as any lock is held
    before = descriptors()
    in_threads(20)
    wait_until(lambda: descriptors() <= before, 10, "every connection is closed")
