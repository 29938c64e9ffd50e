"""What our commands share: --json, --dry-run, a progress bar on a terminal, and exit codes that scripts can rely on.

0: done. 1: done in part (some failed). 2: the command line asks for something that can't be. 3: the environment is not
fit (the database is away, the storage is not there).
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from calls.models import Business
from prosaasil import trouble
from recordings.status import iso


class SomeFailed(CommandError):
    """Some of it could not be done; the rest was. Exit 1."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=1)


class UsageError(CommandError):
    """The command line asks for something that can't be. Exit 2, as argparse's own errors."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class EnvironmentUnfit(CommandError):
    """What the command stands on is not there. Exit 3."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=3)


class PlainCommand(BaseCommand):
    """A command whose errors begin with “Error:”, whatever they are called in here."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run; from a shell, an error ends with its words and its exit status."""
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            from_shell = getattr(self, "_called_from_command_line", False)  # Django's, in no stub
            if not from_shell or options.get("traceback") or isinstance(error, SystemCheckError):
                raise
            self.stderr.write(f"Error: {error}")
            sys.exit(error.returncode)


class ReportingCommand(PlainCommand):
    """A command that ends with a report. Subclasses write `add_options` and `run`."""

    writes: ClassVar[bool] = True
    """Whether it offers --dry-run; `run` must obey `options["dry_run"]`."""

    as_json = False
    dry_run = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add what all commands take, then the subclass's own."""
        parser.add_argument("--json", action="store_true", help="Print the report as JSON.")
        if self.writes:
            parser.add_argument("--dry-run", action="store_true", help="Say what would be done, and change nothing.")
        self.add_options(parser)

    def add_options(self, parser: CommandParser) -> None:
        """Add this command's own arguments."""

    def run(self, **options: Any) -> None:
        """Do the work. Raise SomeFailed, UsageError or EnvironmentUnfit to end otherwise than well."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, with the database's troubles turned into exit 3 and a sentence."""
        self.as_json, self.dry_run = options["json"], bool(options.get("dry_run"))
        try:
            self.run(**options)
        except (OperationalError, InterfaceError) as error:
            raise EnvironmentUnfit(_database_words(error)) from error
        except DatabaseError as error:
            if _tables_are_missing():
                raise EnvironmentUnfit(_NOT_MIGRATED) from error
            raise
        except KeyboardInterrupt:
            raise CommandError("Stopped. What was done until now is kept.", returncode=130) from None

    def check(self, *args: Any, **options: Any) -> None:
        """Run the system checks: what they find is the environment's."""
        try:
            super().check(*args, **options)
        except SystemCheckError as error:
            error.returncode = 3
            raise

    def say(self, text: str) -> None:
        """A line for people, on stdout; nothing with --json."""
        if not self.as_json:
            self.stdout.write(text)

    def warn(self, text: str) -> None:
        """A line for people, on stderr, with --json too."""
        self.stderr.write(text, self.style.WARNING)

    def report(self, facts: Mapping[str, Any], words: str) -> None:
        """The outcome: `facts` as one JSON object with --json, else `words`."""
        self.stdout.write(json.dumps(facts, ensure_ascii=False, default=_plain) if self.as_json else words)

    @contextmanager
    def progress(self, label: str, total: float | None) -> Iterator[Callable[[float], None]]:
        """Gives `advance(amount)`. On a terminal it moves a bar on stderr; elsewhere it does nothing."""
        if not self.stderr.isatty():
            yield lambda _amount: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda amount: bar.advance(task, amount)


def business_argument(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add `--business SLUG`."""
    words = "The business, by its slug, or by its id, as log lines have it."
    parser.add_argument("--business", metavar="SLUG", required=required, help=words)


def business_named(slug: str) -> Business:
    """The business of this slug, else of this id. Raises UsageError, naming those there are."""
    business = Business.objects.filter(slug=slug).first()
    if business is None and slug.isdecimal() and len(slug) < _LONGEST_ID:
        business = Business.objects.filter(pk=int(slug)).first()
    if business is None:
        known = list(Business.objects.values_list("slug", flat=True)[:20])
        hint = f"There are: {', '.join(known)}" if known else "There are none yet; create_business makes one"
        raise UsageError(f"There is no business “{slug}”. {hint}.")
    return business


def counted(count: int, thing: str) -> str:
    """“1 recording”, “2 recordings”."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


_LONGEST_ID = 19
_NOT_MIGRATED = "The database has not been set up, or is older than this program. Run: manage.py migrate"


def _plain(value: object) -> str | None:
    return iso(value) if isinstance(value, datetime) else str(value)


def _database_words(error: Exception) -> str:
    if _tables_are_missing():
        return _NOT_MIGRATED
    return f"The database can't be used: {trouble.of_database(error)}"


def _tables_are_missing() -> bool:
    """Whether the database can be reached but has not been migrated this far."""
    from django.db.migrations.executor import MigrationExecutor

    if connection.in_atomic_block:
        return False  # it can't be asked now
    try:
        connection.close()  # whatever state the failed statement left it in
        executor = MigrationExecutor(connection)
        return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except DatabaseError:
        return False
