"""The two statements of an import: many new rows, many changed rows. By hand, because models cost ten times as much."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from calls.models import CallLog

_TABLE = CallLog._meta.db_table

Rows = Sequence[tuple[Any, ...]]


def insert_new(columns: Sequence[str], rows: Rows, same: Mapping[str, Any]) -> int:
    """Insert the calls that are not there yet; the answer is how many were not. `same` is what all of them have."""
    names = ", ".join(_quoted((*same, *columns)))
    once = ["%s"] * len(same)
    tail = "ON CONFLICT (business_id, call_sid) DO NOTHING"
    if connection.vendor == "postgresql":
        source = f"SELECT {', '.join(once)}, new.* FROM {_unnested(columns)} AS new"  # noqa: S608
        return _run(f"INSERT INTO {_TABLE} ({names}) {source} {tail}", rows, same)
    places = ", ".join(once + ["%s"] * len(columns))
    return _run(f"INSERT INTO {_TABLE} ({names}) VALUES ({places}) {tail}", rows, same)  # noqa: S608


def update_changed(columns: Sequence[str], rows: Rows, same: Mapping[str, Any]) -> int:
    """Set `same` and these columns of the rows whose ids are the last values. The answer is how many were set.

    A call that has been given another recording SID since it was read is left as it is.
    """
    values = [f"{name} = %s" for name in _quoted(tuple(same))]
    own_sid = ""
    if connection.vendor == "postgresql":
        if "recording_sid" in columns:
            own_sid = f"AND ({_TABLE}.recording_sid IS NULL OR {_TABLE}.recording_sid = new.recording_sid)"
        values += [f"{name} = new.{name}" for name in _quoted(columns)]
        source = f"{_unnested((*columns, 'id'))} AS new ({', '.join(_quoted((*columns, 'id')))})"
        where = f"FROM {source} WHERE {_TABLE}.id = new.id {own_sid}"
    else:
        if "recording_sid" in columns:
            own_sid = "AND (recording_sid IS NULL OR recording_sid = %s)"
            place = columns.index("recording_sid")
            rows = [(*row, row[place]) for row in rows]
        values += [f"{name} = %s" for name in _quoted(columns)]
        where = f"WHERE id = %s {own_sid}"
    return _run(f"UPDATE {_TABLE} SET {', '.join(values)} {where}", rows, same)  # noqa: S608


def _run(statement: str, rows: Rows, same: Mapping[str, Any]) -> int:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # one statement over arrays: half the time of one statement a row
            cursor.execute(statement, [*same.values(), *(list(values) for values in zip(*rows, strict=True))])
        else:
            once = [_adapted(value) for value in same.values()]
            cursor.executemany(statement, [[*once, *map(_adapted, row)] for row in rows])
        return int(cursor.rowcount)


def _adapted(value: Any) -> Any:
    """A time as Django writes it, so that it equals what Django reads back and compares with; else the value itself."""
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def _quoted(columns: Sequence[str]) -> list[str]:
    return [connection.ops.quote_name(column) for column in columns]


def _unnested(columns: Sequence[str]) -> str:
    """`unnest(…)` of one array a column. The types are without lengths: a cast to varchar(64) cuts in silence."""
    types = {field.column: str(field.db_type(connection)).partition("(")[0] for field in CallLog._meta.concrete_fields}
    return f"unnest({', '.join(f'%s::{types[column]}[]' for column in columns)})"
