"""What the tests of downloads over HTTP share: an origin with a client and an account, and a fetch in a thread."""

import random
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import pytest

from recordings.download.errors import DownloadError
from recordings.download.providers import Account
from recordings.download.providers.http import Client, Transfer
from recordings.tests.raw_origin import RawOrigin, body

AUDIO = random.Random(1).randbytes(700_000)
BASIC = "Basic bWU6aHVzaC1odXNo"
"""What the world's account sends: me, hush-hush."""
PATIENT = 3600.0
"""A time-out that no test waits for: what ends earlier was ended by something else."""


class World:
    """An origin that serves AUDIO, a client that may use it, and an account with credentials there."""

    def __init__(self) -> None:
        self.origin = RawOrigin(body(AUDIO, "Content-Type: audio/wav"))
        self.client = Client(8, frozenset({self.origin.place}), PATIENT, PATIENT)
        self.account = Account("generic", self.origin.url, (self.origin.place,), "basic", "me", "hush-hush")

    def __enter__(self) -> Self:
        self.origin.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.origin.__exit__(kind, error, trace)

    def get(self, path: str = "/a.wav?token=hush", transfer: Transfer | None = None) -> bytes:
        return enter(self.client, self.account, self.origin.url + path, transfer or Transfer(60, 10**7))

    def fails(self, kind: type[DownloadError], transfer: Transfer | None = None) -> DownloadError:
        with pytest.raises(kind) as caught:
            self.get(transfer=transfer)
        assert type(caught.value) is kind
        return caught.value


def enter(client: Client, account: Account, url: str, transfer: Transfer) -> bytes:
    """Fetch everything."""
    with client.fetch(account, url, transfer) as found:
        return b"".join(found.chunks())


class Running:
    """A fetch in a thread of its own."""

    def __init__(self, work: Callable[[Transfer], object]) -> None:
        self.transfer = Transfer(PATIENT, 10**7)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def _run(self, work: Callable[[Transfer], object]) -> None:
        try:
            work(self.transfer)
        except BaseException as error:
            self.error = error

    def ended_with(self) -> BaseException | None:
        self._thread.join(30)
        assert not self._thread.is_alive(), "the abort did not reach the thread"
        return self.error
