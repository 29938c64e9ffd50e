"""The verb by which a worker takes what waits, under a lease; whose turn it is, the governor says."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from django.conf import settings
from django.db import connection, transaction

from calls.clock import now
from calls.models import PRIORITY_BULK, PRIORITY_CLICK, CallLog, RecordingStatus
from recordings.governor import OthersClaim, Turns, one_claim_at_a_time
from recordings.moves import MoveQuerySet
from recordings.results import digest

LEASE = 30
"""Seconds that a claim or a beat gives the worker. A worker stops reading 24 s after its last good beat."""

_PRIORITIES = (PRIORITY_CLICK, PRIORITY_BULK)

_BEGIN_ATTEMPT = """
    INSERT INTO recordings_attempt
    (recording_id, token, worker, url_digest, started_at, outcome, reason, detail, validator)
    VALUES (%s, %s, %s, %s, %s, 'running', '', '', '')
"""

CLAIMED = (
    "business_id", "call_sid", "started_at", "duration", "recording_url", "recording_sid", "recording_priority",
    "recording_token", "recording_version", "recording_started_at", "recording_download_status",
)  # fmt: skip
"""What a claim reads of a row: what an attempt needs to know."""


class ClaimQuerySet(MoveQuerySet):
    """Recordings, as those who want work see them."""

    def waiting(self) -> Self:
        """Queued, and not held back by an account that was asked to slow down."""
        return self.filter(recording_download_status=RecordingStatus.QUEUED).exclude(
            business__provider_account__paused_until__gt=now(),
            # further ahead than any wait we grant: from a clock that was wrong
            business__provider_account__paused_until__lte=now(settings.RECORDINGS_MAX_RETRY_AFTER),
        )

    def may_start(self) -> bool:
        """Whether `start` would find anything: something waits, and its account has room."""
        return Turns().may_start(_PRIORITIES)

    def start(self, limit: int, *, worker: str, clicks_only: bool = False, more: bool = False) -> list[CallLog]:
        """Claim up to `limit` waiting recordings: clicks first, businesses in turn, no account above its cap.

        Each gets a lease and an Attempt of its token. Chosen under the lock, so that of two who claim together each
        has a full haul while enough waits. `more`: the caller has reason to believe that something waits, and need not
        look before it takes the lock.
        """
        priorities = _PRIORITIES[:1] if clicks_only else _PRIORITIES
        if not more and not Turns().may_start(priorities):
            return []
        token = uuid.uuid4().hex
        with suppress(OthersClaim), transaction.atomic():
            one_claim_at_a_time()
            if chosen := self._chosen(limit, priorities):
                claimed = self._claim(chosen, token)
                _begin_attempts(claimed, token, worker)
                return claimed
        return []

    def _chosen(self, limit: int, priorities: Sequence[int]) -> list[CallLog]:
        """Whose turn it is, each business's own in the order in which they were asked for."""
        queued = self.filter(recording_download_status=RecordingStatus.QUEUED).only(*CLAIMED).annotate(claimed_at=now())
        queued = queued.order_by("recording_last_enqueue_at", "pk")
        if connection.features.has_select_for_update_skip_locked:
            queued = queued.select_for_update(skip_locked=True, of=("self",))
        chosen: dict[int, CallLog] = {}  # they are still queued, until all are claimed
        turns = Turns()
        for priority in priorities:
            while shares := turns.share(priority, limit - len(chosen)):
                for business, share in shares.items():
                    line = queued.filter(recording_priority=priority, business_id=business)
                    found = line.exclude(pk__in=list(chosen))[:share] if chosen else line[:share]
                    before = len(chosen)
                    chosen |= {row.pk: row for row in found}
                    turns.took(priority, business, share, len(chosen) - before)
        return list(chosen.values())

    def _claim(self, chosen: list[CallLog], token: str) -> list[CallLog]:
        """Put these rows, just read, under this token; those that were still to be had."""
        # The time as a value that was read: as an expression, Django would resolve it for each attempt anew.
        started_at = vars(chosen[0])["claimed_at"]
        columns: dict[str, Any] = {
            "recording_token": token,
            "recording_lease_until": now(LEASE),
            "recording_started_at": started_at,
            "recording_bytes_total": None,
            "recording_content_type": "",
        }
        rows = self.filter(pk__in=[row.pk for row in chosen])
        if rows.move("start", RecordingStatus.DOWNLOADING, **columns) < len(chosen):
            mine = set(rows.filter(recording_token=token).values_list("pk", flat=True))
            chosen = [row for row in chosen if row.pk in mine]
        for row in chosen:
            row.recording_download_status, row.recording_token = RecordingStatus.DOWNLOADING, token
            row.recording_started_at = started_at
        return chosen


def _begin_attempts(rows: Sequence[CallLog], token: str, worker: str) -> None:
    """In SQL: to make as many objects first takes longer than all the rest of a claim."""
    adapted = connection.ops.adapt_datetimefield_value
    values = [
        (row.pk, token, worker, digest(row.recording_url or ""), adapted(row.recording_started_at)) for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_BEGIN_ATTEMPT, values)
