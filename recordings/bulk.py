"""Asking for many recordings at once, as operators do: in chunks, under one bell, behind every click."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from django.db import transaction

from recordings import bell
from recordings.lifecycle import Ask
from recordings.models import Recording

CHUNK = 500
"""Rows in one transaction: small enough that a click between two chunks does not wait."""

T = TypeVar("T")


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[list[T]]:
    """The items in order, `size` at a time."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def queue_all(pks: Sequence[int], ask: Ask, advance: Callable[[float], None] = lambda _amount: None) -> int:
    """Queue those of these that `ask` lets through, behind every click. How many.

    The first chunk that queues anything rings. At the end it rings once more only if that bell has been heard and
    something still waits: the drains may have ended between two chunks.
    """
    queued = 0
    for chunk in chunks(pks):
        queued += Recording.objects.filter(pk__in=chunk).queue(ask, ring=not queued)
        advance(len(chunk))
    if queued and not bell.is_rung() and Recording.objects.waiting().exists():
        with transaction.atomic():
            bell.ring()
    return queued
