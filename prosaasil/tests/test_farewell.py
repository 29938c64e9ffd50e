"""After the next request, a thread that has ended has no database connection open, though no garbage is collected."""

import gc
import os
import threading
from collections.abc import Iterator

import pytest
from django.core.signals import request_started
from django.db import connection
from django.db.backends.signals import connection_created
from django.test import Client

from calls.models import CallLog
from prosaasil.farewell import close_with_threads

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def farewell() -> Iterator[None]:
    close_with_threads()
    gc.disable()
    yield
    gc.enable()
    connection_created.disconnect(dispatch_uid="farewell")
    request_started.disconnect(dispatch_uid="farewell")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def in_threads(number: int) -> None:
    for _ in range(number):
        thread = threading.Thread(target=CallLog.objects.exists)
        thread.start()
        thread.join()


@pytest.mark.skipif(connection.vendor == "postgresql", reason="there each request gives its connection back")
def test_threads_that_end_close_their_connections(farewell: None) -> None:
    in_threads(20)
    Client().get("/healthz")
    before = descriptors()
    for _ in range(3):
        in_threads(20)
        Client().get("/healthz")
    # SQLite keeps the descriptors of closed files for the next ones that are opened, as long as any lock is held.
    assert descriptors() <= before + 1
