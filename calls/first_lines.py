"""Which line of a file named a call first, in bounded memory however long the file is."""

import sqlite3
from collections.abc import Sequence
from typing import Self

_CACHE_KIB = 4096


class FirstLines:
    """Remembers call_sids in a private database on disk, which the system removes by itself.

    A set of a million of them would take 100 MB; this takes 4 MB, and says on which line the first one stood.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # no name: temporary, on disk
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("CREATE TABLE seen (call_sid TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID")

    def repeated(self, lines: Sequence[tuple[str, int]]) -> dict[int, int]:
        """Remember these (call_sid, line number), in the file's order. Line → first line, for those that repeat one."""
        before = self._database.total_changes
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", lines)
        self._database.execute("COMMIT")
        if self._database.total_changes - before == len(lines):
            return {}
        first = "SELECT line FROM seen WHERE call_sid = ?"
        firsts = ((number, self._database.execute(first, [call_sid]).fetchone()[0]) for call_sid, number in lines)
        return {number: line for number, line in firsts if number != line}

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
