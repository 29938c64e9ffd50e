"""Rows for tests: a recording in any status, and time that passes by making the rows older."""

import itertools
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DateTimeField, F, Model
from django_q.models import OrmQ

from calls.clock import now
from calls.models import Business, CallLog, RecordingStatus
from recordings.models import Attempt, ProviderAccount, Recording
from recordings.reasons import Reason
from recordings.results import Finished, Held, Whole

MISSING, QUEUED, DOWNLOADING, READY, FAILED = RecordingStatus

COLUMNS = [field.attname for field in CallLog._meta.concrete_fields]
"""Every column of call_log."""

_numbers = itertools.count(1)


def business(slug: str = "acme") -> Business:
    """The business of this slug, with an account."""
    company, _ = Business.objects.get_or_create(slug=slug, defaults={"name": slug.title()})
    account = {"kind": "generic", "base_url": "https://voice.example.com", "hosts": "voice.example.com", "auth": "none"}
    ProviderAccount.objects.get_or_create(business=company, defaults=account)
    return company


def recording(status: RecordingStatus = MISSING, owner: Business | None = None, **columns: Any) -> Recording:
    """A recording in `status`, with what belongs to that status; `columns` (less "recording_") have the last word.

    A downloading one has its running attempt; its token is in the row.
    """
    number = next(_numbers)
    alone: dict[RecordingStatus, dict[str, Any]] = {
        MISSING: {},
        QUEUED: {"last_enqueue_at": now()},
        DOWNLOADING: {"last_enqueue_at": now(), "token": uuid.uuid4().hex, "lease_until": now(30), "started_at": now()},
        READY: {"last_enqueue_at": now(-100), "ready_at": now(-90), "file": f"0/{uuid.uuid4().hex}"} | AUDIO,
        FAILED: {"last_enqueue_at": now(-20), "reason": Reason.STALLED, "fail_count": 1, "next_retry_at": now(5)},
    }
    own = {"url", "sid"}
    facts = {f"recording_{name}": value for name, value in (alone[status] | columns).items() if name not in own}
    call = CallLog.objects.create(
        business=owner or business(), call_sid=f"CA{number:08d}", started_at=now(-3600),
        recording_url=columns.get("url", f"https://voice.example.com/{number}.wav"), recording_sid=columns.get("sid"),
        recording_download_status=status, **facts,
    )  # fmt: skip
    if status == DOWNLOADING:
        Attempt.objects.create(recording=call, token=facts["recording_token"])
    if status == READY and "file" not in columns:
        CallLog.objects.filter(pk=call.pk).update(recording_file=f"{call.pk}/{uuid.uuid4().hex}")
    return read(call)


AUDIO: dict[str, Any] = {
    "bytes": 9, "bytes_total": 9, "sha256": "5" * 64, "content_type": "audio/wav", "duration": 1.5, "version": 7,
}  # fmt: skip


def read(row: CallLog) -> Recording:
    """The row as it is now."""
    fresh: Recording = Recording.objects.get(pk=row.pk) if row.recording_url else Recording(**columns_of(row))
    return fresh


def columns_of(row: CallLog) -> dict[str, Any]:
    """All columns of the row, as they are in the database now."""
    columns: dict[str, Any] = CallLog.objects.values(*COLUMNS).get(pk=row.pk)
    return columns


def held(row: CallLog) -> Held:
    """The lease that is the row's."""
    assert row.recording_token is not None
    return row.pk, row.recording_token


def whole(pk: int, token: str | None = None) -> Whole:
    """A whole file of this recording, written by the attempt `token`."""
    return Whole(f"{pk}/{token or uuid.uuid4().hex}", **{k: v for k, v in AUDIO.items() if k != "bytes_total"})


def finished(lease: Held, *, adopted: bool = False) -> Finished:
    """The end of an attempt that wrote its own file."""
    return Finished(lease, whole(*lease), http_status=200, adopted=adopted)


def clock() -> datetime:
    """The database's time."""
    moment: datetime = Business.objects.annotate(moment=now()).values_list("moment", flat=True)[0]
    return moment


def bells() -> int:
    """How many bells wait."""
    return int(OrmQ.objects.count())


def pass_time(seconds: float, row: CallLog | None = None) -> None:
    """Let time pass for this recording and its attempts, or for all: every time they keep moves into the past."""
    only = {} if row is None else {"pk": row.pk}
    older(CallLog, seconds, **only)
    older(Attempt, seconds, **({} if row is None else {"recording_id": row.pk}))
    if row is None:
        older(ProviderAccount, seconds)


def older(model: type[Model], seconds: float, **only: int) -> None:
    """Every time that these rows keep moves into the past."""
    times = [field.attname for field in model._meta.concrete_fields if isinstance(field, DateTimeField)]
    back = {name: F(name) - timedelta(seconds=seconds) for name in times}
    model._default_manager.filter(**only).update(**back)


@dataclass(frozen=True)
class World:
    """All that a verb may write: rows, attempts, and the number of bells."""

    rows: dict[int, dict[str, Any]]
    attempts: dict[int, dict[str, Any]]
    bells: int

    def status(self, pk: int) -> RecordingStatus:
        """The status of one recording."""
        return RecordingStatus(self.rows[pk]["recording_download_status"])


def world() -> World:
    """Everything, as it is now."""
    return World(
        {row["id"]: row for row in CallLog.objects.values(*COLUMNS)},
        {row["id"]: dict(row) for row in Attempt.objects.values()},
        bells(),
    )
