"""What the admin's pages do to many recordings at once, and how they say it."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Count, QuerySet
from django.utils.translation import gettext_lazy as _

from calls.models import PRIORITY_BULK, PRIORITY_CLICK, CallLog, RecordingStatus
from recordings.bulk import ask_all, chunks
from recordings.lifecycle import Answer, Ask
from recordings.models import Recording

A_PAGE = 100
"""Up to so many recordings, the operator waits for them: they go before a backfill."""

ANSWERS = {
    Answer.ENQUEUED: _("enqueued"), Answer.UNDER_WAY: _("under way already"), Answer.READY: _("ready already"),
    Answer.COOLING_DOWN: _("asked for less than a minute ago"), Answer.BACKING_OFF: _("waiting for a retry"),
    Answer.FAILED: _("failed for good: use “retry”, or it was deleted"),
}  # fmt: skip


def counts_of(rows: QuerySet[CallLog]) -> dict[str, Any]:
    """How many of these stand in each status, and failed for each reason; one grouped query."""
    statuses, reasons = dict.fromkeys(RecordingStatus, 0), dict[str, int]()
    grouped = rows.order_by().values_list("recording_download_status", "recording_reason").annotate(Count("pk"))
    for status, reason, count in grouped:
        statuses[RecordingStatus(status)] += count
        if status == RecordingStatus.FAILED:
            reasons[reason or "–"] = reasons.get(reason or "–", 0) + count
    return {
        "total": sum(statuses.values()),
        "statuses": [(status.label, count) for status, count in statuses.items()],
        "reasons": sorted(reasons.items(), key=lambda item: (-item[1], item[0])),
    }


def asked(pks: list[int], ask: Ask) -> str:
    """Ask for these; what became of them, in words."""
    answers = ask_all(pks, ask, PRIORITY_CLICK if len(pks) <= A_PAGE else PRIORITY_BULK)
    return _sentence((ANSWERS[answer], answers[answer]) for answer in ANSWERS if answers[answer])


def released(pks: list[int]) -> str:
    """Release those of these that are stuck; how many were, in words."""
    freed = sum(Recording.objects.filter(pk__in=chunk).release() for chunk in chunks(pks))
    return _sentence([(_("released"), freed), (_("left as they are"), len(pks) - freed)])


def _sentence(counted: Iterable[tuple[Any, int]]) -> str:
    return ", ".join(f"{count} {words}" for words, count in counted) + "."
