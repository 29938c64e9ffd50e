"""One transition of many rows: the only place that writes a status."""

from functools import partial
from typing import Self

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from calls.clock import now
from calls.models import CallLog, RecordingStatus
from recordings import counting, graph, news


class MoveQuerySet(QuerySet[CallLog]):
    """Recordings, as rows that move along the graph."""

    def move(self, verb: str, to: RecordingStatus, guard: Q | None = None, **columns: object) -> int:
        """One transition of all these rows that `verb` may find so; the only place that writes a status.

        The guard must be re-read under the row's lock, so a join (which becomes a subquery) is refused.
        """
        rows = self.filter(guard or Q(), recording_download_status__in=graph.sources(verb), recording_url__isnull=False)
        if sum(used > 0 for used in rows.query.alias_refcount.values()) > 1:
            raise ValueError(f"{verb}: a transition can't be guarded through a join")
        if rows.query.is_sliced or to not in {target for targets in graph.MOVES[verb].values() for target in targets}:
            raise ValueError(f"{verb}: can't move these rows to {to}")
        moved = rows.update(recording_download_status=to, updated_at=now(), **columns)
        if moved:
            news.tell()
            transaction.on_commit(partial(counting.TRANSITIONS.add, verb, to.value, amount=moved))
        return moved

    def locked(self) -> Self:
        """These rows, locked in one order: two who move many of the same rows would else wait for each other.

        Within a transaction. Whoever writes several rows one by one goes by their ids for the same reason. SQLite has
        one writer at a time and needs none of it.
        """
        if not connection.features.has_select_for_update:
            return self
        return self.filter(pk__in=list(self.order_by("pk").select_for_update().values_list("pk", flat=True)))
