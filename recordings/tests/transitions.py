"""A witness in the database: a trigger logs each write of a recording's status, and `offences` names the illegal ones.

Rows and files alone do not show that a bug was there: two workers that both commit leave one ready row. The witness
sees every write, whoever made it, and judges it by `graph.MOVES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from calls.models import RecordingStatus
from recordings.graph import MOVES
from recordings.reasons import Reason

Sql = Callable[[str], list[tuple[Any, ...]]]
"""Runs one statement; the rows it gives, if any."""

LEGAL = frozenset((before, after) for moves in MOVES.values() for before, targets in moves.items() for after in targets)
"""Every (before, after) that some verb makes. Writing the status that is there already is a move too."""

_COLUMNS = (
    "before_status",
    "after_status",
    "before_reason",
    "after_reason",
    "before_token",
    "after_token",
    "after_file",
)
_TABLE = "transition_witness"
_VALUES = """OLD.id, OLD.recording_download_status, NEW.recording_download_status, OLD.recording_reason,
    NEW.recording_reason, OLD.recording_token, NEW.recording_token, NEW.recording_file"""
_INSERT = f"INSERT INTO {_TABLE} (recording_id, {', '.join(_COLUMNS)}) VALUES ({_VALUES})"
_FIRES = "AFTER UPDATE OF recording_download_status ON call_log FOR EACH ROW"

_SET_UP = {
    "sqlite": [
        f"CREATE TABLE {_TABLE} (id integer PRIMARY KEY, recording_id bigint, {' text, '.join(_COLUMNS)} text)",
        f"CREATE TRIGGER {_TABLE} {_FIRES} BEGIN {_INSERT}; END",
    ],
    "postgresql": [
        f"CREATE TABLE {_TABLE} (id bigserial PRIMARY KEY, recording_id bigint, {' text, '.join(_COLUMNS)} text)",
        f"CREATE FUNCTION {_TABLE}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_INSERT}; RETURN NULL; END $$",
        f"CREATE TRIGGER {_TABLE} {_FIRES} EXECUTE FUNCTION {_TABLE}()",
    ],
}
_TEAR_DOWN = {
    "sqlite": [f"DROP TRIGGER IF EXISTS {_TABLE}", f"DROP TABLE IF EXISTS {_TABLE}"],
    "postgresql": [
        f"DROP TRIGGER IF EXISTS {_TABLE} ON call_log", f"DROP FUNCTION IF EXISTS {_TABLE}",
        f"DROP TABLE IF EXISTS {_TABLE}",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Move:
    """One write of a status."""

    recording_id: int
    before: str
    after: str
    before_reason: str
    after_reason: str
    before_token: str | None
    after_token: str | None
    file: str

    def offence(self) -> str:
        """What is illegal about it, from the row alone; empty when nothing is."""
        said = f"recording {self.recording_id}: {self.before} → {self.after}"
        if (self.before, self.after) not in LEGAL:
            return f"{said} is no move of the graph"
        if self.before == RecordingStatus.FAILED == self.after and self.after_reason != Reason.DELETED:
            return f"{said}: only a deletion fails what has failed"
        if self.before_reason == Reason.DELETED and self.after_reason != Reason.DELETED:
            return f"{said} brings back what was deleted"
        if self.after == RecordingStatus.DOWNLOADING and self.after_token in {None, self.before_token}:
            return f"{said} without a new token"
        if self.before == RecordingStatus.DOWNLOADING and self.after_token is not None:
            return f"{said} keeps the token"
        return ""


class Witness:
    """The log of all moves while it is watching.

    In the tests' own database; or where `sql` leads, a living service's for instance, a database of that `vendor`.
    """

    def __init__(self, sql: Sql | None = None, vendor: str = "") -> None:
        self._sql = sql or _own_database
        self._vendor = vendor or connection.vendor

    def watch(self) -> None:
        """Begin, in the current transaction if there is one."""
        self.dismiss()
        self._run(_SET_UP)

    def dismiss(self) -> None:
        """Leave no trace of it in the database."""
        self._run(_TEAR_DOWN)

    def forget(self) -> None:
        """Empty the log."""
        self._sql(f"DELETE FROM {_TABLE}")

    def moves(self) -> list[Move]:
        """All moves, in their order."""
        return [
            Move(*row) for row in self._sql(f"SELECT recording_id, {', '.join(_COLUMNS)} FROM {_TABLE} ORDER BY id")
        ]

    def pairs(self) -> list[tuple[str, str]]:
        """(before, after) of all moves, in their order."""
        return [(move.before, move.after) for move in self.moves()]

    def offences(self) -> list[str]:
        """What was illegal, in words. Empty is what every test wants."""
        moves = self.moves()
        return [move.offence() for move in moves if move.offence()] + self._foreign_commits(moves)

    def _foreign_commits(self, moves: list[Move]) -> list[str]:
        """Commits under a lease of a file that another attempt wrote, where the lease's own one did not adopt it."""
        finish = (RecordingStatus.DOWNLOADING, RecordingStatus.READY)
        commits = [move for move in moves if (move.before, move.after) == finish]
        foreign = [move for move in commits if move.file.rpartition("/")[2] != move.before_token]
        adopted = set(self._sql("SELECT recording_id, token FROM recordings_attempt WHERE outcome = 'adopted'"))
        return [
            f"recording {move.recording_id}: {move.file} was committed under the lease of {move.before_token}"
            for move in foreign
            if (move.recording_id, move.before_token) not in adopted
        ]

    def _run(self, statements: dict[str, list[str]]) -> None:
        for statement in statements[self._vendor]:
            self._sql(statement)


def _own_database(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
