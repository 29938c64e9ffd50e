"""A module's `os`, of which the Nth call that could want room fails: a disk that is full at any one step."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

WRITES = frozenset({"mkdir", "open", "write", "rename", "fsync", "utime"})
"""What a write can fail in; `open` where it makes a file or names a folder to be made durable."""


class FailingOs:
    """The module `os`, counting its writes. Thread-safe enough for one download at a time."""

    def __init__(self, nth: int, code: int, *, lasting: bool) -> None:
        """The `nth` write (1 is the first) fails with `code`; `lasting`: and all that come after it."""
        self.nth, self.code, self.lasting = nth, code, lasting
        self.calls: list[str] = []

    @property
    def failed(self) -> list[str]:
        """The calls that were refused."""
        return self.calls[self.nth - 1 :] if self.lasting else self.calls[self.nth - 1 : self.nth]

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._counted(name, real) if name in WRITES else real

    def _counted(self, name: str, real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            flags = arguments[1] if name == "open" else 0
            if name == "open" and not flags & (os.O_CREAT | os.O_DIRECTORY):
                return real(*arguments, **named)
            self.calls.append(name)
            number = len(self.calls)
            if number == self.nth or (self.lasting and number > self.nth):
                raise OSError(self.code, os.strerror(self.code))
            return real(*arguments, **named)

        return call


@contextmanager
def failing(
    modules: list[ModuleType], nth: int, code: int = errno.ENOSPC, *, lasting: bool = False
) -> Iterator[FailingOs]:
    """While it lasts, these modules' `os` fails at its nth write."""
    stand_in = FailingOs(nth, code, lasting=lasting)
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, "os", stand_in)
        yield stand_in
