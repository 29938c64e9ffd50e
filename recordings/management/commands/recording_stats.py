"""recording_stats: where all recordings stand."""

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Count, Q, QuerySet

from calls.clock import now
from calls.models import CallLog, RecordingStatus
from recordings.accounts import ProviderAccountQuerySet
from recordings.management.command import ReportingCommand, business_argument, business_named
from recordings.models import ProviderAccount, Recording
from recordings.status import iso

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
        """Six queries, whatever the table's size."""
        rows, accounts = Recording.objects.all(), ProviderAccount.objects.all()
        if options["business"]:
            business = business_named(options["business"])
            rows, accounts = rows.filter(business=business), accounts.filter(business=business)
        by_business = _reasons(rows)
        facts = {
            "statuses": rows.counts(),
            "failed": _fates(by_business),
            "reasons": _of_all(by_business),
            "businesses": _businesses(rows),
            "business_reasons": by_business,
            "accounts": _troubled(accounts),
            "oldest_queued": _oldest_queued(rows),
            "downloading": _downloading(rows),
        }
        self.report(facts, _words(facts))


def _reasons(rows: QuerySet[CallLog]) -> list[dict[str, Any]]:
    """Failures by business and reason, and how many of them are tried again by themselves."""
    failed = rows.filter(recording_download_status=RecordingStatus.FAILED).order_by()
    again = Count("pk", filter=Q(recording_next_retry_at__isnull=False))
    columns = ("business__slug", "business_id", "recording_reason", "recording_permanent")
    counted = failed.values_list(*columns).annotate(count=Count("pk"), again=again)
    return [
        {
            "business": slug, "business_id": pk, "reason": reason, "permanent": permanent, "count": count,
            "will_be_retried": again,
        }
        for slug, pk, reason, permanent, count, again in counted.order_by("business__slug", "-count", columns[2])
    ]  # fmt: skip


def _of_all(by_business: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same of all businesses, the most frequent first."""
    sums: dict[tuple[str, bool], list[int]] = {}
    for row in by_business:
        total = sums.setdefault((row["reason"], row["permanent"]), [0, 0])
        total[0] += row["count"]
        total[1] += row["will_be_retried"]
    return [
        {"reason": reason, "permanent": permanent, "count": count, "will_be_retried": again}
        for (reason, permanent), (count, again) in sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))
    ]


def _fates(by_business: list[dict[str, Any]]) -> dict[str, int]:
    again = sum(row["will_be_retried"] for row in by_business)
    return {"will_be_retried": again, "given_up": sum(row["count"] for row in by_business) - again}


def _troubled(accounts: ProviderAccountQuerySet) -> list[dict[str, Any]]:
    """What is wrong with accounts, and until when."""
    return [
        {
            "business": account.business.slug,
            "business_id": account.business_id,
            "refused_since": account.broken_since,
            "paused_until": account.paused_until if account.is_paused() else None,
            "at_once": account.at_once(),
            "cap": account.cap,
            "background_rests_until": account.rests_until if account.is_resting() else None,
        }
        for account in accounts.in_trouble()
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
        fates = facts["failed"]
        lines[-1] += f"  ({fates['will_be_retried']} will be retried, {fates['given_up']} given up)"
        lines += ["", "Failed, by reason:"]
        lines += [f"  {_of_reason(row)}" for row in facts["reasons"]]
    lines += ["", f"{'By business:':22}" + "".join(f"{status:>12}" for status in RecordingStatus.values)]
    for slug, counts in facts["businesses"].items():
        lines.append(f"  {slug:20}" + "".join(f"{count:12}" for count in counts.values()))
        lines += [f"    {_of_reason(row)}" for row in facts["business_reasons"] if row["business"] == slug]
    if facts["accounts"]:
        lines += ["", "Accounts:", *(_of_account(account) for account in facts["accounts"])]
    if oldest := facts["oldest_queued"]:
        lines += ["", f"Waiting longest: {oldest['call_sid']} ({oldest['business']}), for {oldest['seconds']:.0f} s"]
    if held := facts["downloading"]:
        lines += ["", "Downloading:"]
        lines += [f"  {row['call_sid']} ({row['business']}), for {row['seconds']:.0f} s" for row in held[:SHOWN]]
        lines += ["  …"] if len(held) > SHOWN else []
    return "\n".join(lines)


def _of_reason(row: dict[str, Any]) -> str:
    again, over = row["will_be_retried"], row["count"] - row["will_be_retried"]
    fate = "for good" if row["permanent"] else ", ".join(
        f"{count} {words}" for count, words in ((again, "will be retried"), (over, "given up")) if count
    )  # fmt: skip
    return f"{row['reason'] or '-':20}{row['count']:10}  {fate}"


def _of_account(account: dict[str, Any]) -> str:
    what = [f"refused by its provider since {iso(account['refused_since'])}"] if account["refused_since"] else []
    what += [f"asked to wait until {iso(account['paused_until'])}"] if account["paused_until"] else []
    if account["at_once"] < account["cap"]:
        rests = account["background_rests_until"]
        what.append(f"slowed down to {account['at_once']} of {account['cap']} at once, its provider being in trouble")
        what += [f"background downloads rest until {iso(rests)}"] if rests else []
    return f"  {account['business']} (business={account['business_id']}): {' and '.join(what)}"
