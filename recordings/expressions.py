"""SQL that the ORM has no cheap words for."""

from collections.abc import Mapping
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, F, Field, Func
from django.db.models.sql.compiler import SQLCompiler


class EachRow(Func):
    """A value of its own for each row of a batch: `CASE id WHEN 7 THEN 'a' WHEN 9 THEN 'b' END`.

    Django's Case says the same with three objects a row, which cost more than the query itself.
    """

    def __init__(self, values: Mapping[int, Any], output_field: "Field[Any, Any]", key: str = "pk") -> None:
        """`values` is by `key`; rows that are not in it get NULL, so the caller's WHERE must name them."""
        super().__init__(F(key), output_field=output_field)
        self.values = values

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, *args: Any, **context: Any) -> Any:
        """Render it, values as parameters."""
        key, params = compiler.compile(self.source_expressions[0])
        whens = " ".join(["WHEN %s THEN %s"] * len(self.values))
        return f"CASE {key} {whens} END", (*params, *(part for pair in self.values.items() for part in pair))


class Stretch(Func):
    """Which stretch of so many seconds a time falls in, counted from 1970: a whole number on every database."""

    output_field = BigIntegerField()

    def __init__(self, moment: Any, seconds: int) -> None:
        super().__init__(moment, seconds=int(seconds))

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """In SQLite's own words: Django's functions of time are calls of Python, one a row."""
        template = "(CAST(strftime('%%%%s', %(expressions)s) AS INTEGER) / %(seconds)s)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """In PostgreSQL's."""
        template = "(FLOOR(EXTRACT(EPOCH FROM %(expressions)s) / %(seconds)s)::bigint)"
        return self.as_sql(compiler, connection, template=template, **context)
