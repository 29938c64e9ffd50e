"""What a proof found: figures for people, findings for the exit status."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.db import connection


@dataclass
class Report:
    """Figures by name, in the order in which they are printed; a finding is a sentence about what must not be."""

    figures: dict[str, object] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def expect(self, fine: bool, finding: str) -> None:
        """Note the finding unless it is fine."""
        if not fine:
            self.findings.append(finding)

    def say(self, most: int = 20) -> int:
        """Print the figures and the first findings; the exit status: 1 when anything was found."""
        width = max(map(len, self.figures), default=0)
        lines = [f"{name:<{width}}  {value}" for name, value in self.figures.items()]
        lines += [f"FOUND: {finding}" for finding in self.findings[:most]]
        lines += [f"{len(self.findings)} findings" if self.findings else "nothing found"]
        sys.stdout.write("\n".join(lines) + "\n")
        return 1 if self.findings else 0


@contextmanager
def empty_database() -> Iterator[None]:
    """A new, migrated database for this process alone: on the server of DATABASE_URL, or a file; gone at the end."""
    given = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(given, verbosity=0)


def quiet() -> None:
    """No warnings from here on: thousands of expected failures would bury the figures."""
    logging.disable(logging.WARNING)


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
