"""Taking imported calls: an upsert by (business, call_sid) that writes what differs and nothing else.

It reads first and compares, because a call's recording has a life of its own: of the recording's columns it writes the
address and the SID alone, and a call that says nothing new is not written at all.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby, islice
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from calls.clock import now
from calls.first_lines import FirstLines
from calls.import_values import Fault
from calls.importing import BadLine, Line
from calls.models import Business, CallLog, CallStatus, Direction, search_digits
from recordings.import_rows import insert_new, update_changed
from recordings.models import Recording

BATCH = 2000
"""Lines written in one transaction: long enough to be fast, short enough that the service goes on beside it."""

_RECORDING = ("recording_url", "recording_sid")
_DEFAULTS: dict[str, Any] = {
    "direction": Direction.INBOUND.value, "from_number": "", "to_number": "", "status": CallStatus.COMPLETED.value,
    "started_at": None, "duration": None, "agent": "", "recording_url": None, "recording_sid": None,
}  # fmt: skip


@dataclass
class Counts:
    """What an import did, in lines. `other_recording`: taken, save for a second recording of a call that has one.

    `no_recording`: taken, of calls that have no recording_url, so that there is nothing to play.
    """

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    bad: int = 0
    other_recording: int = 0
    no_recording: int = 0

    @property
    def all_taken(self) -> bool:
        """Whether nothing in the file was left out."""
        return not (self.bad or self.other_recording)

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return asdict(self)


@dataclass
class _Plan:
    """What one batch comes to when compared with the rows that are there."""

    created: list[Line] = field(default_factory=list)
    changed: dict[int, tuple[Line, dict[str, Any]]] = field(default_factory=dict)
    """Row id → the line, and the columns in which it differs."""
    unchanged: int = 0
    bad: list[BadLine] = field(default_factory=list)
    other: list[BadLine] = field(default_factory=list)
    silent: set[int] = field(default_factory=set)
    """The numbers of lines of calls without a recording."""


class _Raced(Exception):
    """Somebody else wrote one of these calls between our read and our write; nothing of the batch was written."""


class Import:
    """One import into one business. `on_bad` hears of every line that was not taken, or not wholly."""

    def __init__(self, business: Business, on_bad: Callable[[BadLine], None], *, dry_run: bool = False) -> None:
        self.counts = Counts()
        self._business = business
        self._on_bad = on_bad
        self._dry_run = dry_run

    def take_all(self, lines: Iterable[Line | BadLine], on_batch: Callable[[], None] = lambda: None) -> Counts:
        """Take these lines, a batch a transaction; `on_batch` hears when one is done. The answer is what was done."""
        every = iter(lines)
        with FirstLines() as firsts:
            while batch := list(islice(every, BATCH)):
                good = [line for line in batch if isinstance(line, Line)]
                repeated = firsts.repeated([(line.call_sid, line.number) for line in good])
                bad = [line for line in batch if isinstance(line, BadLine)]
                bad += [_repeated(line, repeated[line.number]) for line in good if line.number in repeated]
                self._take([line for line in good if line.number not in repeated], bad)
                on_batch()
        return self.counts

    def _take(self, lines: Sequence[Line], bad: Sequence[BadLine] = ()) -> None:
        """Compare, write and count one batch, then tell what is bad in it, in the file's order."""
        held: dict[int, Line] = {}
        while True:
            plan = _compare(self._business, lines)
            if self._dry_run or not (plan.created or plan.changed):
                break
            try:
                held = _write(self._business, plan, wait=len(lines) == 1)
            except _Raced:
                continue
            break
        other = [line for line in plan.other if line.number not in held]
        self.counts.created += len(plan.created)
        self.counts.changed += len(plan.changed) - len(held)
        self.counts.unchanged += plan.unchanged
        self.counts.bad += len(bad) + len(plan.bad)
        self.counts.other_recording += len(other)
        self.counts.no_recording += len(plan.silent - held.keys())
        for line in sorted((*bad, *plan.bad, *other), key=lambda line: line.number):
            self._on_bad(line)
        for later in held.values():
            self._take([later])


# --- comparing


def _repeated(line: Line, first: int) -> BadLine:
    words = _("is repeated: line %(line)d has it already, and the first one counts") % {"line": first}
    return BadLine(line.number, line.call_sid, (Fault("call_sid", "repeated", words),))


def _compare(business: Business, lines: Sequence[Line]) -> _Plan:
    plan = _Plan()
    known = CallLog.objects.filter(business_id=business.pk, call_sid__in=[line.call_sid for line in lines])
    rows = {row[0]: row[1:] for row in known.order_by().values_list("call_sid", "pk", *_DEFAULTS)}
    url = [*_DEFAULTS].index("recording_url") + 1
    for line in lines:
        if row := rows.get(line.call_sid):
            _compare_one(plan, line, row[0], dict(zip(_DEFAULTS, row[1:], strict=True)))
        elif "started_at" in line.given:
            plan.created.append(line)
        else:
            fault = Fault("started_at", "missing", _("is missing, and the call is new"))
            plan.bad.append(BadLine(line.number, line.call_sid, (fault,)))
            continue
        if not (line.given.get("recording_url") or (row and row[url])):
            plan.silent.add(line.number)
    return plan


def _compare_one(plan: _Plan, line: Line, pk: int, row: dict[str, Any]) -> None:
    given = line.given
    sid = given.get("recording_sid")
    if sid is not None and row["recording_sid"] not in {None, sid}:
        given = {column: value for column, value in given.items() if column not in _RECORDING}
        words = _("is another than %(sid)s, which the call has; a call has one recording, and this one was not taken")
        fault = Fault("recording_sid", "other_recording", words % {"sid": row["recording_sid"]})
        plan.other.append(BadLine(line.number, line.call_sid, (fault,)))
    differing = {column: value for column, value in given.items() if column in row and row[column] != value}
    if not differing:
        plan.unchanged += 1
        return
    if "from_number" in differing or "to_number" in differing:
        merged = row | differing
        differing["search_digits"] = search_digits(merged["from_number"], merged["to_number"])
    plan.changed[pk] = line, differing


# --- writing


def _write(business: Business, plan: _Plan, *, wait: bool) -> dict[int, Line]:
    """Write the plan in one transaction. The answer is the lines, by number, whose rows somebody else holds just now.

    Those are written afterwards, one by one: a transaction that holds rows and waits for more can deadlock with a
    worker that ends many downloads in one transaction, and the database might choose the worker as the victim.
    """
    with transaction.atomic():
        time = Business.objects.annotate(time=now()).values_list("time", flat=True).get(pk=business.pk)
        # First: from here on nothing waits.
        _insert(plan.created, {"business_id": business.pk, "created_at": time, "updated_at": time})
        changed = plan.changed
        if connection.features.has_select_for_update_skip_locked and changed and not wait:
            rows = CallLog.objects.filter(pk__in=changed).order_by().select_for_update(skip_locked=True, no_key=True)
            free = set(rows.values_list("pk", flat=True))
            changed = {pk: change for pk, change in plan.changed.items() if pk in free}
        _update({pk: columns for pk, (_line, columns) in changed.items()}, {"updated_at": time})
        moved = [pk for pk, (_line, columns) in changed.items() if "recording_url" in columns]
        if moved:
            Recording.objects.filter(pk__in=moved).readdress()
    return {line.number: line for pk, (line, _columns) in plan.changed.items() if pk not in changed}


def _insert(lines: Sequence[Line], same: dict[str, Any]) -> None:
    """Insert these calls, sorted, so that two imports of the same calls wait for each other and do not deadlock."""
    rows = []
    for line in sorted(lines, key=lambda line: line.call_sid):
        call = _DEFAULTS | line.given
        numbers = search_digits(call["from_number"], call["to_number"])
        rows.append((line.call_sid, numbers, *(call[column] for column in _DEFAULTS)))
    if rows and insert_new(("call_sid", "search_digits", *_DEFAULTS), rows, same) != len(rows):
        raise _Raced


def _update(changed: dict[int, dict[str, Any]], same: dict[str, Any]) -> None:
    """Write the columns that differ, and only those: one statement for all rows that differ in the same ones."""
    in_groups = sorted(changed.items(), key=lambda item: (tuple(item[1]), item[0]))
    for columns, group in groupby(in_groups, key=lambda item: tuple(item[1])):
        rows = [(*values.values(), pk) for pk, values in group]
        if update_changed(columns, rows, same) != len(rows):
            raise _Raced
