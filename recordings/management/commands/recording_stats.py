"""recording_stats: where all recordings stand."""

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Count, QuerySet

from calls.clock import now
from calls.models import CallLog, RecordingStatus
from recordings.management.command import ReportingCommand, business_argument, business_named
from recordings.models import Recording

SHOWN = 20
"""Lines for people; --json has them all, up to MOST."""

MOST = 1000


class Command(ReportingCommand):
    """Counts by status, reason and business, what waits longest, and what is being downloaded."""

    help = "Show where all recordings stand: counts by status, reason and business, the queue, and what is downloading."
    writes = False

    def add_options(self, parser: CommandParser) -> None:
        """`--business`: of one only."""
        business_argument(parser, required=False)

    def run(self, **options: Any) -> None:
        """Five queries, whatever the table's size."""
        rows = Recording.objects.all()
        if options["business"]:
            rows = rows.filter(business=business_named(options["business"]))
        facts = {
            "statuses": rows.counts(),
            "reasons": _reasons(rows),
            "businesses": _businesses(rows),
            "oldest_queued": _oldest_queued(rows),
            "downloading": _downloading(rows),
        }
        self.report(facts, _words(facts))


def _reasons(rows: QuerySet[CallLog]) -> list[dict[str, Any]]:
    failed = rows.filter(recording_download_status=RecordingStatus.FAILED).order_by()
    counted = failed.values("recording_reason", "recording_permanent").annotate(count=Count("pk"))
    return [
        {"reason": row["recording_reason"], "permanent": row["recording_permanent"], "count": row["count"]}
        for row in counted.order_by("-count", "recording_reason")
    ]


def _businesses(rows: QuerySet[CallLog]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    counted = rows.order_by("business__slug").values_list("business__slug", "recording_download_status")
    for slug, status, count in counted.annotate(count=Count("pk")):
        found.setdefault(slug, dict.fromkeys(RecordingStatus.values, 0))[status] = count
    return found


def _oldest_queued(rows: QuerySet[CallLog]) -> dict[str, Any] | None:
    """What has waited longest, whoever goes first."""
    queued = rows.filter(recording_download_status=RecordingStatus.QUEUED).order_by("recording_last_enqueue_at", "pk")
    return _told(queued, "recording_last_enqueue_at")[0] if queued.exists() else None


def _downloading(rows: QuerySet[CallLog]) -> list[dict[str, Any]]:
    """What is under way, the longest first."""
    held = rows.filter(recording_download_status=RecordingStatus.DOWNLOADING)
    return _told(held.order_by("recording_started_at", "pk"), "recording_started_at")


def _told(rows: QuerySet[CallLog], since: str) -> list[dict[str, Any]]:
    """Who, since when, and for how many seconds by the database's clock."""
    told = rows.annotate(moment=now()).values_list("call_sid", "business__slug", since, "moment")
    return [
        {"call_sid": sid, "business": slug, "since": start, "seconds": round((moment - start).total_seconds(), 1)}
        for sid, slug, start, moment in told[:MOST]
    ]


def _words(facts: dict[str, Any]) -> str:
    lines = [f"{status:12}{count:10}" for status, count in facts["statuses"].items()]
    if facts["reasons"]:
        lines += ["", "Failed, by reason:"]
        lines += [
            f"  {row['reason'] or '-':20}{row['count']:10}{'  for good' if row['permanent'] else ''}"
            for row in facts["reasons"]
        ]
    lines += ["", f"{'By business:':22}" + "".join(f"{status:>12}" for status in RecordingStatus.values)]
    lines += [
        f"  {slug:20}" + "".join(f"{count:12}" for count in counts.values())
        for slug, counts in facts["businesses"].items()
    ]
    if oldest := facts["oldest_queued"]:
        lines += ["", f"Waiting longest: {oldest['call_sid']} ({oldest['business']}), for {oldest['seconds']:.0f} s"]
    if held := facts["downloading"]:
        lines += ["", "Downloading:"]
        lines += [f"  {row['call_sid']} ({row['business']}), for {row['seconds']:.0f} s" for row in held[:SHOWN]]
        lines += ["  …"] if len(held) > SHOWN else []
    return "\n".join(lines)
