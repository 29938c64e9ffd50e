"""backfill_recordings: download what nobody has asked for yet."""

import argparse
import time
from datetime import date, datetime
from datetime import time as time_of_day
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandParser
from django.db.models import Count, Q, QuerySet

from calls.clock import now
from calls.filters import CallFilter
from calls.models import Business, CallLog, RecordingStatus
from recordings.bulk import queue_all
from recordings.lifecycle import Ask, RecordingQuerySet
from recordings.management.command import (
    ReportingCommand,
    SomeFailed,
    UsageError,
    business_argument,
    business_named,
    counted,
)
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
        missing = scope.filter(recording_download_status=RecordingStatus.MISSING)
        may = missing.queueable(Ask.PERSON)
        pks = list(may.order_by("-started_at", "-pk").values_list("pk", flat=True)[: options["limit"]])
        cooling = missing.count() - (len(pks) if options["limit"] is None else may.count())
        facts: dict[str, Any] = {"found": len(pks), "enqueued": 0, "cooling_down": cooling, "dry_run": self.dry_run}
        left = f" {cooling} left out: queued less than a minute ago; ask again in a minute." if cooling else ""
        if self.dry_run:
            self.report(facts, f"Would queue {counted(len(pks), 'missing recording')}.{left}")
            return
        began = _clock()
        with self.progress("Queueing", len(pks)) as advance:
            facts["enqueued"] = queue_all(pks, Ask.PERSON, advance)
        words = f"Queued {counted(facts['enqueued'], 'missing recording')}.{left}"
        if options["wait"]:
            self.say(words)
            asked = scope.filter(recording_last_enqueue_at__gte=began) if facts["enqueued"] else scope.none()
            facts |= self._wait(asked, facts["enqueued"])
            words = f"{facts['ready']} downloaded, {facts['failed']} failed."
        self.report(facts, words)
        if facts.get("failed"):
            failed = counted(facts["failed"], "recording")
            raise SomeFailed(f"{failed} could not be downloaded; recording_stats says why.")

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
    first, last = (_moment(times.form.cleaned_data[name], zone) for name in ("since", "until"))
    if first and last and first > last:
        raise UsageError(f"--since {since} is later than --until {until}: no call can be in between.")
    found: RecordingQuerySet = times.qs
    return found


def _moment(value: date | datetime | None, zone: ZoneInfo) -> datetime | None:
    """Something to compare: a day as its beginning."""
    if value is None or isinstance(value, datetime):
        return value.replace(tzinfo=zone) if value and value.tzinfo is None else value
    return datetime.combine(value, time_of_day.min, zone)


def _clock() -> datetime | None:
    """The database's time; None when there is no business, and so no call."""
    return Business.objects.annotate(moment=now()).values_list("moment", flat=True).first()


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)
