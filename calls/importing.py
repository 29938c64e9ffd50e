"""Reading a file of calls: JSONL (one JSON object a line) or CSV, line by line, in bounded memory. Pure: no database.

Columns: call_sid, direction, from_number, to_number, status, started_at, duration, agent, recording_url, recording_sid.
A value that is empty, null or absent is not given, and changes nothing.
"""

import csv
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from calls.import_values import BadValue, Fault, readers, shown

Format = Literal["jsonl", "csv"]

LONGEST_LINE = 1_000_000
"""Bytes. A longer line is bad, and is skipped without being kept in memory."""

_LOOK_AHEAD = 32  # lines: to tell the format, and to find the end of a quoted value
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_REMEMBERED_NAMES = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A good line: what it gives, by column, as the columns take it; `call_sid` is always among them."""

    number: int
    call_sid: str
    given: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not taken, or not wholly: its number (from 1), its call_sid as far as known, what is wrong."""

    number: int
    call_sid: str
    faults: tuple[Fault, ...]


Physical = tuple[int, str | Fault]
Record = tuple[int, dict[str, Any] | Fault]


class CallFile:
    """The lines of an import file, each read when its turn comes."""

    def __init__(self, file: BinaryIO, zone: ZoneInfo, file_format: Format | None = None) -> None:
        """Times without a zone are in `zone`. Without `file_format`, the first lines tell."""
        self.ignored: set[str] = set()
        """Columns that stand in the file and that we don't know (the first twenty)."""
        self.bytes_read = 0
        self._file = file
        self._format = file_format
        self._readers = readers(zone)
        self._ahead: deque[Physical] = deque()
        self._physical = self._physical_lines()

    def __iter__(self) -> Iterator[Line | BadLine]:
        """Every line that says something, good or bad, in order."""
        records = self._json_records if (self._format or self._tell()) == "jsonl" else self._csv_records
        for number, record in records():
            yield BadLine(number, "", (record,)) if isinstance(record, Fault) else self._read(number, record)

    def _read(self, number: int, record: dict[str, Any]) -> Line | BadLine:
        given: dict[str, Any] = {}
        faults = []
        for column, value in record.items():
            reader = self._readers.get(column)
            if reader is None:
                if len(self.ignored) < _REMEMBERED_NAMES:
                    self.ignored.add(shown(column))
                continue
            if value is None or value == "" or (isinstance(value, str) and value.isspace()):
                continue
            try:
                given[column] = reader(value)
            except BadValue as bad:
                faults.append(Fault(column, bad.code, bad.detail))
        if "call_sid" not in given and not any(fault.column == "call_sid" for fault in faults):
            faults.insert(0, Fault("call_sid", "missing", _("is missing")))
        if faults:
            return BadLine(number, given.get("call_sid") or shown(record.get("call_sid") or "", 64), tuple(faults))
        return Line(number, given["call_sid"], given)

    # --- lines

    def _physical_lines(self) -> Iterator[Physical]:
        number = 0
        while raw := self._file.readline(LONGEST_LINE):
            number += 1
            self.bytes_read += len(raw)
            if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                while raw and not raw.endswith(b"\n"):
                    raw = self._file.readline(LONGEST_LINE)
                    self.bytes_read += len(raw)
                yield number, Fault("", "too_long", _("is longer than %(limit)d bytes") % {"limit": LONGEST_LINE})
                continue
            if number == 1:
                raw = raw.removeprefix(_BOM)
                if raw.startswith(_UTF_16):
                    yield 1, Fault("", "bad_encoding", _("is UTF-16; save the file as UTF-8"))
                    continue
            try:
                yield number, raw.decode()
            except UnicodeDecodeError as error:
                yield number, Fault("", "bad_encoding", _("is not UTF-8 (byte %(place)d)") % {"place": error.start + 1})

    def _lines(self) -> Iterator[Physical]:
        """The lines that are not blank, those looked at before first."""
        while True:
            line = self._ahead.popleft() if self._ahead else next(self._physical, None)
            if line is None:
                return
            if isinstance(line[1], Fault) or (line[1] and not line[1].isspace()):
                yield line

    def _look(self, count: int) -> list[Physical]:
        """The next lines, up to `count`, that stay to be read."""
        while len(self._ahead) < count and (line := next(self._physical, None)) is not None:
            self._ahead.append(line)
        return list(self._ahead)[:count]

    def _tell(self) -> Format:
        """CSV where the first line names call_sid as a column; else JSONL where a line begins as an object does."""
        texts = [text for _number, text in self._look(_LOOK_AHEAD) if isinstance(text, str) and text.strip()]
        if texts and "call_sid" in _cells(texts[0], _delimiter(texts[0])):
            return "csv"
        return "jsonl" if any(text.lstrip().startswith(("{", "[")) for text in texts) else "csv"

    # --- records

    def _json_records(self) -> Iterator[Record]:
        for number, text in self._lines():
            if isinstance(text, Fault):
                yield number, text
                continue
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                what = type(error).__name__
                if isinstance(error, json.JSONDecodeError):
                    what = f"{error.msg}, character {error.pos + 1}"
                yield number, Fault("", "not_json", _("is not JSON (%(what)s)") % {"what": what})
                continue
            if isinstance(record, dict):
                yield number, record
            else:
                yield number, Fault("", "not_json", _("is not a JSON object"))

    def _csv_records(self) -> Iterator[Record]:
        lines = self._lines()
        number, header = next(lines, (1, ""))
        if isinstance(header, Fault) or header == "":
            if isinstance(header, Fault):
                yield number, header
            return
        delimiter = _delimiter(header)
        columns = _cells(header, delimiter)
        if "call_sid" not in columns or len(set(columns)) < len(columns):
            words = _("the first line must name each column once, call_sid among them (and started_at, for new calls)")
            found = _("it says: %(found)s") % {"found": shown(header.strip())}
            yield number, Fault("", "bad_header", f"{words}; {found}")
            return
        for number, text in lines:
            cells = text if isinstance(text, Fault) else self._cells_from(text, delimiter)
            if isinstance(cells, Fault):
                yield number, cells
            elif len(cells) != len(columns):
                words = _("has %(cells)d values for %(columns)d columns")
                yield number, Fault("", "bad_csv", words % {"cells": len(cells), "columns": len(columns)})
            else:
                yield number, dict(zip(columns, cells, strict=True))

    def _cells_from(self, text: str, delimiter: str) -> list[str] | Fault:
        """The values of the record that begins with this line.

        A quoted value may go on over the next lines. Where its end is not found in a few, only this line is lost.
        """
        try:
            return next(csv.reader((text,), delimiter=delimiter, strict=True))
        except csv.Error as error:
            fault = Fault("", "bad_csv", _("is not CSV (%(what)s)") % {"what": error})
        used = 0
        for _number, more in self._look(_LOOK_AHEAD):
            if isinstance(more, Fault) or text.count('"') % 2 == 0:
                break
            text += more
            used += 1
        try:
            cells = next(csv.reader((text,), delimiter=delimiter, strict=True))
        except csv.Error:
            return fault
        for _taken in range(used):
            self._ahead.popleft()
        return cells


def _delimiter(header: str) -> str:
    """What stands between the columns: a comma, or what spreadsheets write in its place."""
    return max(",;\t", key=header.count)


def _cells(header: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip().lower() for cell in next(csv.reader((header,), delimiter=delimiter))]
    except (csv.Error, StopIteration):
        return []
