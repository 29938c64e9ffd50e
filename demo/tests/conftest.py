"""A provider of its own for each test, and a connection to it."""

from collections.abc import Iterator

import pytest

from demo.provider import Provider
from demo.tests.client import Client


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def wire(provider: Provider) -> Iterator[Client]:
    with Client(provider) as wire:
        yield wire
