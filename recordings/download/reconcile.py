"""Rows against files, both ways: what a restored backup, a lost disk or a hand in the folder left apart is put right.

Everything goes through the verbs, so it may run while calls are played and downloaded, and twice at once.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TypeVar

from calls.models import CallLog, RecordingStatus
from recordings import sidecar
from recordings.download.adopting import earlier_attempts, sha256, whole_file
from recordings.download.sweeping import removable
from recordings.models import Recording
from recordings.reasons import Reason
from recordings.results import digest
from recordings.storage import Storage, StoredFile

log = logging.getLogger(__name__)

CHUNK = 500
T = TypeVar("T")


@dataclass
class Findings:
    """What was found, and put right unless it was a dry run; counts of rows, files and parts."""

    checked: int = 0
    lost: int = 0
    damaged: int = 0
    adopted: int = 0
    orphans_removed: int = 0
    parts_removed: int = 0
    waveforms_removed: int = 0
    unusable: int = 0
    unknown: list[str] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """How much was put right. A second run has 0."""
        removed = self.orphans_removed + self.parts_removed + self.waveforms_removed
        return self.lost + self.damaged + self.adopted + removed


class Reconciliation:
    """One run. `verify` compares hashes too, `dry_run` only looks, `advance` is told each row or folder."""

    def __init__(
        self, storage: Storage, *, verify: bool = False, dry_run: bool = False, advance: Callable[[int], None]
    ) -> None:
        self._storage, self._verify, self._dry_run, self._advance = storage, verify, dry_run, advance
        self.findings = Findings()
        self._would_be_missing: set[int] = set()

    def run(self) -> Findings:
        """Rows against files, then files against rows. Raises StorageAway, before any change if it is away by then."""
        self._storage.check()
        for row in _ready():
            self._check_row(row)
            self._advance(1)
        folders = groupby(self._storage.scan(), key=lambda file: file.recording_id)
        for batch in _batches((pk, list(files)) for pk, files in folders):
            self._check_folders(dict(batch))
            self._advance(len(batch))
        self._remove_waveforms()
        return self.findings

    # --- rows against files

    def _check_row(self, row: CallLog) -> None:
        """A ready row whose file is not there, or not the one it describes, becomes missing."""
        self.findings.checked += 1
        there = self._is_there(row)
        if there is True:
            return
        damaged = there is False
        if damaged and not self._dry_run:
            # The file first: between the two a player finds it gone and the row says so by itself. The other way
            # round, an attempt could adopt it.
            self._storage.delete(row.recording_file)
        if self._dry_run:
            self._would_be_missing.add(row.pk)
        if self._dry_run or Recording.objects.lose(row):
            self.findings.damaged += damaged
            self.findings.lost += not damaged

    def _is_there(self, row: CallLog) -> bool | None:
        """True: the file that the row describes. False: another one under its name. None: no file."""
        try:
            if self._storage.stat(row.recording_file).st_size != row.recording_bytes:
                return False
            return not self._verify or sha256(self._storage, row.recording_file) == row.recording_sha256
        except (FileNotFoundError, ValueError):  # ValueError: no name that we would give a file, so there is none
            return None

    # --- files against rows

    def _check_folders(self, folders: dict[int, list[StoredFile]]) -> None:
        rows = {row.pk: row for row in CallLog.objects.filter(pk__in=folders, recording_url__isnull=False)}
        for pk, files in folders.items():
            if pk in rows:
                self._check_folder(rows[pk], files)
            else:
                self.findings.unknown.append(str(pk))

    def _check_folder(self, row: CallLog, files: list[StoredFile]) -> None:
        if row.pk in self._would_be_missing:  # what a run that is not dry would find here
            files = [file for file in files if file.name != row.recording_file]
            row.recording_download_status, row.recording_file = RecordingStatus.MISSING, ""
        finals = [file for file in files if not file.is_part]
        if finals and _may_be_adopted(row):
            self._adopt(row, finals)
        for file in files:
            if file.name != row.recording_file:
                self._remove(row, file)

    def _adopt(self, row: CallLog, finals: list[StoredFile]) -> None:
        """The newest whole file becomes the row's. The row must still be as it was read; then it is ready."""
        whole = whole_file(
            self._storage,
            row.pk,
            digest(row.recording_url or ""),
            earlier_attempts([row.pk]).get(row.pk, {}),
            dry_run=self._dry_run,
        )
        if whole is None:
            self.findings.unusable += len(finals)
            return
        if self._dry_run or Recording.objects.adopt(row, whole):
            self.findings.adopted += 1
            if not self._dry_run:
                log.info("Recording file adopted", extra={"action": "adopt", "call_sid": row.call_sid})
            # Only in hand: the others are judged by it, in a dry run too.
            row.recording_download_status, row.recording_file = RecordingStatus.READY, whole.file

    def _remove(self, row: CallLog, file: StoredFile) -> None:
        if not removable(self._storage, row, file):
            return
        if not self._dry_run:
            fresh = CallLog.objects.filter(pk=row.pk).first()  # the scan may be minutes old
            if fresh is None or not removable(self._storage, fresh, file) or not self._storage.delete(file.name):
                return
        if file.is_part:
            self.findings.parts_removed += 1
        else:
            self.findings.orphans_removed += 1

    def _remove_waveforms(self) -> None:
        """Those whose recording is gone; after all else, which may have left some."""
        for name in sidecar.all_orphans(self._storage):
            if self._dry_run or self._storage.delete(name):
                self.findings.waveforms_removed += 1


def _may_be_adopted(row: CallLog) -> bool:
    idle = row.recording_download_status in {RecordingStatus.MISSING, RecordingStatus.FAILED}
    return idle and row.recording_reason != Reason.DELETED


def _ready() -> Iterator[CallLog]:
    """All ready recordings by id, a page at a time: rows may change under a long run."""
    ready = Recording.objects.filter(recording_download_status=RecordingStatus.READY).order_by("pk")
    last = 0
    while page := list(ready.filter(pk__gt=last)[:CHUNK]):
        yield from page
        last = page[-1].pk


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(items, CHUNK)):
        yield batch
