"""retry_failed_recordings: ask again for what failed."""

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Q

from calls.models import RecordingStatus
from recordings.bulk import queue_all
from recordings.lifecycle import Ask
from recordings.management.command import ReportingCommand, business_argument, business_named, counted
from recordings.models import Recording
from recordings.reasons import PERMANENT, Reason

RETRIED = [reason for reason in Reason.values if reason != Reason.DELETED]


class Command(ReportingCommand):
    """Queue failed recordings anew, behind every click."""

    help = (
        "Queue failed recordings anew: those that back off or were given up. A permanent failure is retried only when "
        "its reason is named, for instance --reason unauthorised after the credentials were put right."
    )

    def add_options(self, parser: CommandParser) -> None:
        """`--reason`, again and again; `--business`."""
        parser.add_argument(
            "--reason", action="append", choices=RETRIED, metavar="REASON", default=[],
            help=f"Only these; may be repeated. For good: {', '.join(sorted(PERMANENT - {Reason.DELETED}))}. "
            f"For now: {', '.join(sorted(set(Reason) - PERMANENT))}.",
        )  # fmt: skip
        business_argument(parser, required=False)

    def run(self, **options: Any) -> None:
        """Naming a permanent reason is the operator's `force`."""
        rows = Recording.objects.filter(recording_download_status=RecordingStatus.FAILED)
        if options["business"]:
            rows = rows.filter(business=business_named(options["business"]))
        wanted = Q(recording_permanent=False)
        ask = Ask.PERSON
        if options["reason"]:
            wanted, ask = Q(recording_reason__in=options["reason"]), Ask.FORCE
        pks = list(rows.filter(wanted).queueable(ask).order_by("-started_at", "-pk").values_list("pk", flat=True))
        facts = {"found": len(pks), "reasons": options["reason"], "dry_run": self.dry_run}
        if self.dry_run:
            self.report(facts | {"enqueued": 0}, f"Would queue {counted(len(pks), 'failed recording')}.")
            return
        with self.progress("Queueing", len(pks)) as advance:
            queued = queue_all(pks, ask, advance)
        self.report(facts | {"enqueued": queued}, f"Queued {counted(queued, 'failed recording')}.")
