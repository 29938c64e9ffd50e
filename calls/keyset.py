"""Pages by key and not by number: as quick at any depth, and steady while rows arrive. No count, no OFFSET."""

import base64
import binascii
import enum
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from calls.models import CallLog

_LONGEST = 200  # characters of a cursor of ours, generously
_HIGHEST_ID = 2**63 - 1  # bigint; SQLite refuses to be asked for more
_FORWARD, _BACK = "n", "p"


class BadCursor(ValueError):
    """A cursor that we did not give, or that belongs to another order."""


class Order(enum.StrEnum):
    """The orders that a page may have; each has an index, with the business before it."""

    NEWEST = "newest"
    """By the call's start, newest first."""
    UPDATED = "updated"
    """By the last change, oldest first: for those who keep a copy."""

    @property
    def column(self) -> str:
        """The time that the rows stand in order of; ties are ordered by id, the same way round."""
        return "started_at" if self is Order.NEWEST else "updated_at"

    @property
    def descending(self) -> bool:
        """Whether the latest comes first."""
        return self is Order.NEWEST


@dataclass(frozen=True)
class Page:
    """Some rows, and the cursors of the pages beside them (None: there is none)."""

    rows: list[CallLog]
    next: str | None
    previous: str | None


@dataclass(frozen=True)
class _Place:
    """A row's place in an order, and which way to read from it."""

    direction: str
    time: datetime
    id: int


def paginate(queryset: QuerySet[CallLog], *, order: Order, cursor: str | None, limit: int) -> Page:
    """The page of at most `limit` rows that `cursor` names; the first one without. One query. Raises BadCursor.

    A row that appears, moves or goes between two pages makes no other row be skipped or repeated.
    """
    place = _decode(cursor, order) if cursor else None
    back = place is not None and place.direction == _BACK
    descending = order.descending is not back
    if place is not None:
        queryset = queryset.filter(_beyond(place, order.column, descending))
    sign = "-" if descending else ""
    rows = list(queryset.order_by(f"{sign}{order.column}", f"{sign}id")[: limit + 1])
    more, rows = len(rows) > limit, rows[:limit]
    if back:
        rows.reverse()
    if not rows:
        return Page([], None, None)
    has_next, has_previous = (True, more) if back else (more, place is not None)
    return Page(
        rows,
        next=_encode(_FORWARD, rows[-1], order) if has_next else None,
        previous=_encode(_BACK, rows[0], order) if has_previous else None,
    )


def _beyond(place: _Place, column: str, descending: bool) -> Q:
    """What comes after `place`. The first condition is redundant, and is what the index is searched by."""
    compare = "lt" if descending else "gt"
    later = Q(**{f"{column}__{compare}": place.time}) | Q(**{f"id__{compare}": place.id})
    return Q(**{f"{column}__{compare}e": place.time}) & later


def _encode(direction: str, row: CallLog, order: Order) -> str:
    time: datetime = getattr(row, order.column)
    packed = json.dumps([order.value, direction, time.astimezone(UTC).isoformat(), row.pk], separators=(",", ":"))
    return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")


def _decode(cursor: str, order: Order) -> _Place:
    if len(cursor) > _LONGEST:
        raise BadCursor
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        packed: Any = json.loads(base64.b64decode(padded.encode(), altchars=b"-_", validate=True))
        name, direction, time, pk = packed
        moment = parse_datetime(time)
        moment = moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadCursor from error
    good = name == order.value and direction in (_FORWARD, _BACK) and type(pk) is int and 0 < pk <= _HIGHEST_ID
    if not good or moment is None:
        raise BadCursor
    return _Place(direction, moment, pk)
