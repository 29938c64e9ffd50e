"""backfill_recordings: download what nobody has asked for yet."""

import argparse
import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandParser
from django.db.models import Count, Q, QuerySet

from calls.clock import now
from calls.filters import CallFilter
from calls.models import Business, CallLog, RecordingStatus
from recordings.bulk import queue_all
from recordings.lifecycle import Ask, RecordingQuerySet
from recordings.management.command import ReportingCommand, SomeFailed, UsageError, business_argument, business_named
from recordings.models import Recording

LOOK_EVERY = 1.0
"""Seconds between two looks with --wait."""

UNDER_WAY = Q(recording_download_status__in=[RecordingStatus.QUEUED, RecordingStatus.DOWNLOADING])
UNDER_WAY |= Q(recording_download_status=RecordingStatus.FAILED, recording_next_retry_at__isnull=False)


class Command(ReportingCommand):
    """Queue recordings that are missing, the newest first, behind every click and under one bell."""

    help = (
        "Queue the recordings that are missing, the newest first. People's clicks go before them. Failed ones are left "
        "to retry_failed_recordings."
    )

    def add_options(self, parser: CommandParser) -> None:
        """Which calls, how many, and whether to stay until they are done."""
        business_argument(parser, required=False)
        day = "a day (2026-11-23, in the business's time zone) or a time (2026-11-23T10:30:00Z)"
        parser.add_argument("--since", metavar="WHEN", help=f"Calls that started at or after it: {day}.")
        parser.add_argument("--until", metavar="WHEN", help="Calls that started before it; a day is included.")
        parser.add_argument("--limit", type=_positive, metavar="N", help="At most so many.")
        parser.add_argument(
            "--wait", action="store_true", help="Wait until all are downloaded or have failed; exit 1 if any failed."
        )

    def run(self, **options: Any) -> None:
        """Choose, queue, and wait if asked to."""
        business = business_named(options["business"]) if options["business"] else None
        scope = _in_scope(business, options["since"], options["until"])
        missing = scope.filter(recording_download_status=RecordingStatus.MISSING).queueable(Ask.PERSON)
        pks = list(missing.order_by("-started_at", "-pk").values_list("pk", flat=True)[: options["limit"]])
        facts: dict[str, Any] = {"found": len(pks), "enqueued": 0, "dry_run": self.dry_run}
        if self.dry_run:
            self.report(facts, f"Would queue {len(pks)} missing recordings.")
            return
        began = _clock()
        with self.progress("Queueing", len(pks)) as advance:
            facts["enqueued"] = queue_all(pks, Ask.PERSON, advance)
        words = f"Queued {facts['enqueued']} missing recordings."
        if options["wait"]:
            self.say(words)
            asked = scope.filter(recording_last_enqueue_at__gte=began) if facts["enqueued"] else scope.none()
            facts |= self._wait(asked, facts["enqueued"])
            words = f"{facts['ready']} downloaded, {facts['failed']} failed."
        self.report(facts, words)
        if facts.get("failed"):
            raise SomeFailed(f"{facts['failed']} recordings could not be downloaded; recording_stats says why.")

    def _wait(self, asked: QuerySet[CallLog], count: int) -> dict[str, int]:
        """Look once a second until nothing of it is under way; retries that are still to come are waited for."""
        ready = Q(recording_download_status=RecordingStatus.READY)
        done = 0
        with self.progress("Downloading", count) as advance:
            while True:
                stand = asked.order_by().aggregate(
                    all=Count("pk"), under_way=Count("pk", UNDER_WAY), ready=Count("pk", ready)
                )
                ended = stand["all"] - stand["under_way"]
                advance(max(0, ended - done))
                done = max(done, ended)
                if not stand["under_way"]:
                    return {"ready": stand["ready"], "failed": stand["all"] - stand["ready"]}
                time.sleep(LOOK_EVERY)


def _in_scope(business: Business | None, since: str | None, until: str | None) -> RecordingQuerySet:
    """The recordings of these calls. Raises UsageError for a time that is none."""
    rows: RecordingQuerySet = Recording.objects.all()
    zone = ZoneInfo("UTC")
    if business is not None:
        rows, zone = rows.filter(business=business), business.zone
    times = CallFilter({"since": since or "", "until": until or ""}, rows, zone=zone)
    if not times.is_valid():
        raise UsageError("; ".join(f"--{name}: {problem[0]}" for name, problem in times.errors.items()))
    found: RecordingQuerySet = times.qs
    return found


def _clock() -> datetime | None:
    """The database's time; None when there is no business, and so no call."""
    return Business.objects.annotate(moment=now()).values_list("moment", flat=True).first()


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)
