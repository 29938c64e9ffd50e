"""What a recording's row says to programs and people: the one payload of status, batch, stream, events and pages."""

import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Case, IntegerField, OuterRef, QuerySet, Subquery, When
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from calls.models import PRIORITY_CLICK, CallLog, RecordingStatus
from recordings.lifecycle import COOLDOWN, Answer
from recordings.part import PART
from recordings.reasons import GONE_FOR_GOOD, Reason
from recordings.storage import default_storage

Rows = TypeVar("Rows", bound=QuerySet[CallLog])

SOONEST, LATEST = 1, 60
"""Seconds: the bounds of every `retry_after`."""

_HEARD = {RecordingStatus.DOWNLOADING, RecordingStatus.READY}

USUAL_DOWNLOAD = 2.0
"""Seconds that a slot is thought to need for a recording, where the queue's length is all we know."""


def payload(row: CallLog, outcome: Answer | None = None) -> dict[str, Any]:
    """The status of a recording, ready for JSON; `outcome` is what this request did, where it may do something.

    Times are ISO 8601 UTC, durations and `retry_after` seconds. Makes no query, but looks at a growing file's size.
    """
    done = _bytes_done(row)
    return {
        "call_sid": row.call_sid,
        "recording_sid": row.recording_sid,
        "status": str(row.recording_download_status),
        "playable": row.recording_download_status == RecordingStatus.READY,
        "outcome": outcome.value if outcome else None,
        "updated_at": iso(row.updated_at),
        "retry_after": _retry_after(row, done, outcome),
        "message": words(row)[1],
        "reason": row.recording_reason or None,
        "permanent": row.recording_permanent,
        "fail_count": row.recording_fail_count,
        "next_retry_at": iso(row.recording_next_retry_at),
        "bytes_done": done,
        "bytes_total": row.recording_bytes_total,
        "duration": row.recording_duration,
        "content_type": row.recording_content_type or None,
        "version": version(row),
    }


def version(row: CallLog) -> str | None:
    """Names the content that can be heard, also while it still arrives: the ETag of its audio without the quotes."""
    size = row.recording_bytes_total
    if row.recording_download_status not in _HEARD or row.recording_version is None or size is None:
        return None
    return content_name(row.recording_version, size)


def content_name(modified: int, size: int) -> str:
    """Of an audio's time (Unix, whole seconds) and its size in bytes: in nginx's form, so that its ETag is the same."""
    return f"{modified:x}-{size:x}"


def words(row: CallLog) -> tuple[str, str]:
    """A label for the status, and a sentence that says what is so and what to do next; both translated."""
    label = str(RecordingStatus(row.recording_download_status).label)
    match row.recording_download_status:
        case _ if row.recording_url is None:
            return _("No recording"), _("This call has no recording.")
        case RecordingStatus.MISSING:
            return label, _("Press Play to fetch this recording.")
        case RecordingStatus.QUEUED:
            return label, _("This recording is about to be downloaded.")
        case RecordingStatus.DOWNLOADING:
            return label, _("This recording is being downloaded.")
        case RecordingStatus.READY:
            return label, _("Press Play to listen.")
        case _:
            return _words_of_failure(row)


def is_gone(row: CallLog) -> bool:
    """Whether the audio no longer exists anywhere: 410, where another failure that stays is 409."""
    return row.recording_permanent and row.recording_reason in GONE_FOR_GOOD


def with_queue_ahead(rows: Rows) -> Rows:
    """Each with `queue_ahead`: how many clicks will be taken before it, while it waits as a click. Not for lists."""
    ahead = CallLog.objects.order_by().filter(
        recording_download_status=RecordingStatus.QUEUED,
        recording_priority=PRIORITY_CLICK,  # the highest; as an equation, so that the index serves the time as well
        recording_last_enqueue_at__lt=OuterRef("recording_last_enqueue_at"),
    )
    enough = int(settings.RECORDINGS_SLOTS * LATEST / USUAL_DOWNLOAD)  # a longer queue changes no answer
    waits = When(
        recording_download_status=RecordingStatus.QUEUED,
        recording_priority=PRIORITY_CLICK,
        then=_Counted(ahead.values("pk")[:enough]),
    )
    return rows.annotate(queue_ahead=Case(waits, default=None, output_field=IntegerField()))


class _Counted(Subquery):
    """How many rows a subquery has; unlike with Count, it may be a slice."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, with a Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def _words_of_failure(row: CallLog) -> tuple[str, str]:
    label = str(RecordingStatus.FAILED.label)
    reason = Reason(row.recording_reason).label if row.recording_reason in Reason.values else _("The download failed.")
    if is_gone(row):
        return label, str(reason)
    if row.recording_permanent:
        return label, _("%(reason)s It is not tried again by itself; a manager can.") % {"reason": reason}
    if row.recording_next_retry_at:
        return label, f"{reason} {_when(-_since(row.recording_next_retry_at))}"
    return label, _("%(reason)s Press “Try again”.") % {"reason": reason}


def _when(seconds: float) -> str:
    """When it is tried again: in minutes, so that it stays true while somebody reads it."""
    if seconds <= 60:
        return _("We will try again within a minute.")
    minutes = math.ceil(seconds / 60)
    words = ngettext("We will try again in %(count)d minute.", "We will try again in about %(count)d minutes.", minutes)
    return words % {"count": minutes}


def _bytes_done(row: CallLog) -> int | None:
    """How many bytes are here. The size of the part is the progress: no row is written for it."""
    if row.recording_download_status != RecordingStatus.DOWNLOADING:
        return row.recording_bytes
    with suppress(ValueError):
        part = default_storage().path(f"{row.pk}/{row.recording_token}{PART}")
        for path in (part, part.with_suffix("")):  # whole and renamed, while its row is not yet written
            with suppress(OSError):
                return path.stat().st_size
    return 0


def _retry_after(row: CallLog, done: int | None, outcome: Answer | None) -> int | None:
    """Seconds after which asking again is worth it; None when it is not."""
    match row.recording_download_status:
        case RecordingStatus.DOWNLOADING:
            wait = _until_downloaded(row, done or 0)
        case RecordingStatus.QUEUED:
            wait = _until_claimed(row)
        case RecordingStatus.FAILED if row.recording_next_retry_at:
            wait = -_since(row.recording_next_retry_at)
        case RecordingStatus.MISSING if outcome is Answer.COOLING_DOWN and row.recording_last_enqueue_at:
            wait = COOLDOWN - _since(row.recording_last_enqueue_at)
        case RecordingStatus.MISSING if outcome is not None:
            wait = SOONEST
        case _:
            return None
    return max(SOONEST, min(LATEST, math.ceil(wait)))


def _until_downloaded(row: CallLog, done: int) -> float:
    """From the speed of this download; while that is not known, from how long it has taken so far."""
    took = max(0.1, _since(row.recording_started_at))
    if done and row.recording_bytes_total:
        return max(0, row.recording_bytes_total - done) * took / done
    return took / 2


def _until_claimed(row: CallLog) -> float:
    """From the queue ahead where it was counted, or from how long it has waited so far."""
    ahead: int | None = getattr(row, "queue_ahead", None)
    if ahead is not None:
        return (1 + ahead / settings.RECORDINGS_SLOTS) * USUAL_DOWNLOAD
    return max(USUAL_DOWNLOAD, _since(row.recording_last_enqueue_at) / 2)


def _since(moment: datetime | None) -> float:
    return (timezone.now() - moment).total_seconds() if moment else 0.0
