"""What a recording's row says to programs and people: the one payload of status, batch, stream, events and pages."""

import math
from datetime import UTC, datetime
from typing import Any

from calls.models import PRIORITY_CLICK, CallLog, RecordingStatus
from django.conf import settings
from django.db.models import Case, Count, IntegerField, OuterRef, Q, QuerySet, Subquery, When
from django.utils import timezone
from django.utils.translation import gettext as _

from recordings.lifecycle import COOLDOWN, Answer
from recordings.reasons import GONE_FOR_GOOD, Reason
from recordings.storage import default_storage

SOONEST, LATEST = 1, 60
"""Seconds: the bounds of every `retry_after`."""

USUAL_DOWNLOAD = 2.0
"""Seconds that one slot is thought to need for one recording, where the queue's length is all we know."""


def payload(row: CallLog, outcome: Answer | None = None) -> dict[str, Any]:
    """The status of a recording, ready for JSON. `outcome` is what this request did, where it could do something.

    Times are ISO 8601 UTC, durations and `retry_after` seconds. Makes no query; looks at the growing file's size.
    """
    done = bytes_done(row)
    return {
        "call_sid": row.call_sid,
        "recording_sid": row.recording_sid,
        "status": str(row.recording_download_status),
        "playable": row.recording_download_status == RecordingStatus.READY,
        "outcome": None if outcome is None else outcome.value,
        "updated_at": iso(row.updated_at),
        "retry_after": retry_after(row, done, outcome),
        "message": message(row, outcome),
        "reason": row.recording_reason or None,
        "permanent": row.recording_permanent,
        "fail_count": row.recording_fail_count,
        "next_retry_at": iso(row.recording_next_retry_at),
        "bytes_done": done,
        "bytes_total": row.recording_bytes_total,
        "duration": row.recording_duration,
        "content_type": row.recording_content_type or None,
    }


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, with a Z."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def with_queue_ahead[Rows: QuerySet[CallLog]](rows: Rows) -> Rows:
    """Each with `queue_ahead`: how many clicks are claimed before it while it waits itself. For reading single rows."""
