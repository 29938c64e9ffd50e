"""The database's clock, in SQL: every time that a row keeps comes from here; no two machines' clocks are compared."""

from datetime import timedelta

from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.expressions import Combinable
from django.db.models.functions import Now


def now(seconds: float = 0) -> Combinable:
    """The statement's time plus `seconds`.

    The sum stands there for 0 too: SQLite's bare `Now()` writes `.123` where Django's parameters write `.123000`, and
    a time then differs from its own value read back. Keyset pages and `updated_since` depend on that equality.
    """
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())
