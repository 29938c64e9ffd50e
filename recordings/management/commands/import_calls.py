"""import_calls: bring in calls from a file, or put right those that are there."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from django.core.management.base import CommandParser

from calls.importing import BadLine, CallFile
from calls.models import Business
from recordings.importing import Counts, Import
from recordings.management.command import (
    ReportingCommand,
    SomeFailed,
    UsageError,
    business_argument,
    business_named,
    counted,
)

_SHOWN_ON_A_TERMINAL = 100


class Command(ReportingCommand):
    """Import calls."""

    help = (
        "Import calls from a file (JSONL or CSV, UTF-8): call_sid, direction, from_number, to_number, status, "
        "started_at, duration, agent, recording_url, recording_sid. Known calls are updated with what is given; what "
        "is empty changes nothing. Bad lines are named, the others are kept, and the exit code is then 1."
    )

    def add_options(self, parser: CommandParser) -> None:
        """FILE, --business, --format."""
        parser.add_argument("file", metavar="FILE", help="The file; - reads standard input.")
        parser.add_argument("--format", choices=["jsonl", "csv"], help="Where its first lines don't tell.")
        business_argument(parser)

    def run(self, **options: Any) -> None:
        """Import, telling of bad lines as they come: there may be a million of them."""
        business = business_named(options["business"])
        self._told = 0
        with _opened(options["file"]) as file:
            calls = CallFile(file, business.zone, options["format"])
            task = Import(business, self._tell, dry_run=self.dry_run)
            if self.as_json:
                self.stdout.write('{"bad_lines": [', ending="")
            with self.progress("Importing", _size(file)) as advance:
                counts = self._take_all(task, calls, advance)
        self._finish(business, calls, counts)

    def _take_all(self, task: Import, calls: CallFile, advance: Any) -> Counts:
        done = 0

        def on_batch() -> None:
            nonlocal done
            advance(calls.bytes_read - done)
            done = calls.bytes_read

        return task.take_all(calls, on_batch)

    def _tell(self, bad: BadLine) -> None:
        self._told += 1
        if self.as_json:
            faults = [{"column": fault.column, "code": fault.code, "detail": fault.detail} for fault in bad.faults]
            item = json.dumps({"line": bad.number, "call_sid": bad.call_sid, "errors": faults}, ensure_ascii=False)
            self.stdout.write(("\n" if self._told == 1 else ",\n") + item, ending="")
        elif self._told <= _SHOWN_ON_A_TERMINAL or not self.stderr.isatty():
            name = f" ({bad.call_sid})" if bad.call_sid else ""
            self.warn(f"Line {bad.number}{name}: " + "; ".join(str(fault) for fault in bad.faults))

    def _finish(self, business: Business, calls: CallFile, counts: Counts) -> None:
        if self.as_json:
            facts = {"business": business.slug, "dry_run": self.dry_run, **counts.as_dict()}
            facts["ignored_columns"] = sorted(calls.ignored)
            self.stdout.write("], " + json.dumps(facts, ensure_ascii=False)[1:])
        else:
            if self._told > _SHOWN_ON_A_TERMINAL and self.stderr.isatty():
                self.warn(f"… and {self._told - _SHOWN_ON_A_TERMINAL} more bad lines; --json names them all.")
            if calls.ignored:
                self.warn(f"Columns that are not known, and were ignored: {', '.join(sorted(calls.ignored))}")
            words = (
                f"{counts.created} created, {counts.changed} changed, {counts.unchanged} unchanged, {counts.bad} bad"
            )
            if counts.other_recording:
                words += f", {counts.other_recording} with another recording than the call has"
            if counts.no_recording:
                words += f"; {counts.no_recording} without a recording_url, so with nothing to play"
            self.say(f"{'Would import' if self.dry_run else 'Imported'} into {business.slug}: {words}.")
        if not counts.all_taken:
            raise SomeFailed(f"Not taken as they are: {counted(counts.bad + counts.other_recording, 'line')}.")


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(path, "rb")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from error
    with file:
        yield file


def _size(file: BinaryIO) -> float | None:
    """How many bytes there are to read, where that is known."""
    size = os.fstat(file.fileno()).st_size
    return size or None
