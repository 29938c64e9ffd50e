"""Asking for many recordings at once, as operators do: in chunks, under one bell, behind every click."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from django.db import transaction
from django.db.models import BooleanField, Count, ExpressionWrapper, Q

from calls.models import PRIORITY_BULK, PRIORITY_CLICK
from recordings import bell
from recordings.lifecycle import Answer, Ask, standing
from recordings.models import Recording

CHUNK = 500
"""Rows in one transaction: small enough that a click between two chunks does not wait."""

T = TypeVar("T")


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[list[T]]:
    """The items in order, `size` at a time."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def queue_all(
    pks: Sequence[int],
    ask: Ask,
    advance: Callable[[float], None] = lambda _amount: None,
    *,
    priority: int = PRIORITY_BULK,
) -> int:
    """Queue those of these that `ask` lets through, if not told otherwise behind every click. How many.

    The first chunk that queues anything rings. At the end it rings once more only if that bell has been heard and
    something still waits: the drains may have ended between two chunks.
    """
    queued = 0
    for chunk in chunks(pks):
        queued += Recording.objects.filter(pk__in=chunk).queue(ask, priority, ring=not queued)
        advance(len(chunk))
    if queued and not bell.is_rung() and Recording.objects.may_start():
        with transaction.atomic():
            bell.ring()
    return queued


def ask_all(pks: Sequence[int], ask: Ask, priority: int = PRIORITY_BULK) -> Counter[Answer]:
    """As `queue_all`, and what became of each, as `Recording.objects.ask` would have answered."""
    enqueued = queue_all(pks, ask, priority=priority)
    answers = Counter({Answer.ENQUEUED: enqueued, Answer.UNDER_WAY: -enqueued})
    for chunk in chunks(pks):
        rows = Recording.objects.filter(pk__in=chunk)
        if priority == PRIORITY_CLICK:
            rows.promote()
        over = ExpressionWrapper(Q(recording_next_retry_at__isnull=True), BooleanField())
        stands = rows.order_by().annotate(over=over).values_list("recording_download_status", "over")
        for status, exhausted, count in stands.annotate(Count("pk")):
            answers[standing(status, exhausted=exhausted)] += count
    return +answers
