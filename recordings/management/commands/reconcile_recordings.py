"""reconcile_recordings: rows against files, both ways."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from recordings.download.reconcile import Findings, Reconciliation
from recordings.management.command import EnvironmentUnfit, ReportingCommand
from recordings.models import Recording
from recordings.storage import MARKER, StorageAway, default_storage

SHOWN = 20


class Command(ReportingCommand):
    """Put right what a restored backup, a lost disk or a hand in the folder left apart."""

    help = (
        "Compare recordings with the stored files. Ready ones whose file is gone or differs become missing (and are "
        "downloaded again when someone plays them), whole files of missing or failed ones are adopted, files that "
        "nothing uses are removed. Safe while the service runs, and safe to repeat."
    )

    def add_options(self, parser: CommandParser) -> None:
        """`--verify`: read every file."""
        parser.add_argument(
            "--verify", action="store_true", help="Compare the SHA-256 of every file too: reads all of the storage."
        )

    def run(self, **options: Any) -> None:
        """Without the storage's marker nothing is believed lost."""
        with self.progress("Reconciling", Recording.objects.count()) as advance:
            run = Reconciliation(default_storage(), verify=options["verify"], dry_run=self.dry_run, advance=advance)
            try:
                findings = run.run()
            except StorageAway as error:
                raise EnvironmentUnfit(_away(run.findings)) from error
        self.report(asdict(findings) | {"dry_run": self.dry_run}, _words(findings, self.dry_run))


def _away(findings: Findings) -> str:
    done = f" {findings.changed} had been put right before." if findings.changed else " Nothing was changed."
    return f"The storage is away: {default_storage().root / MARKER} can't be opened.{done}"


def _words(findings: Findings, dry_run: bool) -> str:
    lines = [
        f"{findings.checked} ready recordings checked" + (" (dry run: nothing was changed)." if dry_run else "."),
        f"{findings.lost:8} file gone: now missing",
        f"{findings.damaged:8} file differs: removed, now missing",
        f"{findings.adopted:8} whole file found: now ready",
        f"{findings.orphans_removed:8} files that nothing uses: removed",
        f"{findings.parts_removed:8} old unfinished files: removed",
        f"{findings.waveforms_removed:8} waveforms of no recording: removed",
    ]
    if findings.unusable:
        lines.append(f"{findings.unusable:8} files of missing or failed recordings are not whole: left")
    if findings.unknown:
        shown = ", ".join(findings.unknown[:SHOWN]) + (" …" if len(findings.unknown) > SHOWN else "")
        lines.append(f"{len(findings.unknown):8} folders of no recording: left ({shown})")
    return "\n".join(lines)
