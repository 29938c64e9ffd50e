"""recordings/moves.py: which rows a transition takes, and in which order it locks them."""

from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from calls.clock import now
from calls.models import CallLog
from recordings import moves
from recordings.models import Recording
from recordings.tests.rows import MISSING, QUEUED, columns_of, recording

pytestmark = pytest.mark.django_db


def test_a_call_without_a_recording_never_moves() -> None:
    row = recording(MISSING)
    CallLog.objects.filter(pk=row.pk).update(recording_url=None)
    calls = moves.MoveQuerySet(CallLog)  # all of them; a Recording is one that has a recording
    assert calls.move("queue", QUEUED, recording_last_enqueue_at=now()) == 0
    assert columns_of(row)["recording_download_status"] == MISSING


def test_rows_are_locked_in_the_order_of_their_ids_and_no_other_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite as far as it goes: it has no row locks, and Django leaves FOR UPDATE out."""
    monkeypatch.setattr(moves, "connection", SimpleNamespace(features=SimpleNamespace(has_select_for_update=True)))
    last, first = sorted((recording(QUEUED).pk for _ in range(2)), reverse=True)
    recording(MISSING)
    rows = Recording.objects.filter(recording_download_status=QUEUED).order_by("-pk")
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        locked = rows.locked()
    [query] = [each["sql"] for each in captured.captured_queries if "call_log" in each["sql"]]
    assert query.startswith('SELECT "call_log"."id" ')
    assert query.partition("ORDER BY ")[2].split()[:2] == ["1", "ASC"]  # by the first column
    assert ("FOR UPDATE" in query) == connection.features.has_select_for_update
    assert sorted(locked.values_list("pk", flat=True)) == [first, last]


def test_where_the_database_has_no_row_locks_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "connection", SimpleNamespace(features=SimpleNamespace(has_select_for_update=False)))
    rows = Recording.objects.all()
    with CaptureQueriesContext(connection) as captured:
        assert rows.locked() is rows
    assert captured.captured_queries == []
