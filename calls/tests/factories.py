"""Plain functions that make rows for tests: a business, its members, its calls and their recordings in any status."""

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.utils import timezone

from calls.models import Business, CallLog, Member, RecordingStatus
from recordings.models import ProviderAccount, Recording
from recordings.reasons import PERMANENT, Reason
from recordings.storage import default_storage

_numbers = itertools.count(1)
NOON = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
WAV = (
    b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00"
    b"data\xff\xff\xff\xff" + bytes(400)
)
"""25 ms of silence: 16-bit PCM, mono, 8 kHz."""


def make_business(slug: str | None = None, **columns: Any) -> Business:
    """A business, named after its slug."""
    slug = slug or f"business-{next(_numbers)}"
    return Business.objects.create(slug=slug, **{"name": slug.title()} | columns)


def make_member(business: Business, username: str | None = None, role: str = Member.Role.LISTENER) -> Member:
    """A new user with a place in `business`; the password is "secret"."""
    user = User.objects.create_user(username or f"user-{next(_numbers)}", password="secret")
    return Member.objects.create(user=user, business=business, role=role)


def make_manager(business: Business, username: str | None = None) -> Member:
    """A member who may force retries."""
    return make_member(business, username, Member.Role.MANAGER)


def make_account(business: Business, **columns: Any) -> ProviderAccount:
    """A generic provider account without credentials, on loopback."""
    defaults = {"kind": "generic", "base_url": "http://127.0.0.1:9", "hosts": "127.0.0.1:9", "auth": "none"}
    return ProviderAccount.objects.create(business=business, **defaults | columns)


def make_call(business: Business, **columns: Any) -> CallLog:
    """A completed call without a recording; each one starts a minute after the one made before."""
    number = next(_numbers)
    defaults = {
        "call_sid": f"CA{number:032x}", "from_number": f"+97254{number:07d}", "to_number": "+97231234567",
        "agent": "Dana", "started_at": NOON + timedelta(minutes=number), "duration": 60,
    }  # fmt: skip
    return CallLog.objects.create(business=business, **defaults | columns)


def make_recording(business: Business, status: str = RecordingStatus.MISSING, **columns: Any) -> Recording:
    """A call with a recording in `status`, with the columns that such a row has. `ready` has no file: see `make_ready`.

    A failed one is exhausted unless `recording_reason` is permanent or `recording_next_retry_at` is given.
    """
    number = next(_numbers)
    shape: dict[str, Any] = {"recording_url": f"http://127.0.0.1:9/{number}", "recording_sid": f"RE{number:032x}"}
    now = timezone.now()
    match status:
        case RecordingStatus.QUEUED:
            shape |= {"recording_last_enqueue_at": now}
        case RecordingStatus.DOWNLOADING:
            shape |= {
                "recording_last_enqueue_at": now, "recording_token": uuid4().hex,
                "recording_started_at": now, "recording_lease_until": now + timedelta(seconds=30),
            }  # fmt: skip
        case RecordingStatus.READY:
            shape |= {
                "recording_file": f"{number}/{uuid4().hex}", "recording_bytes": 44, "recording_bytes_total": 44,
                "recording_content_type": "audio/wav", "recording_duration": 1.5, "recording_sha256": "0" * 64,
                "recording_ready_at": now - timedelta(hours=1), "recording_last_enqueue_at": now - timedelta(hours=1),
            }  # fmt: skip
        case RecordingStatus.FAILED:
            reason = columns.get("recording_reason", Reason.PROVIDER_ERROR)
            shape |= {"recording_reason": reason, "recording_permanent": reason in PERMANENT, "recording_fail_count": 1}
    call = make_call(business, recording_download_status=status, **shape | columns)
    recording: Recording = Recording.objects.get(pk=call.pk)
    return recording


def make_ready(business: Business, body: bytes = WAV, **columns: Any) -> Recording:
    """A ready recording whose file is in the storage of the settings."""
    storage = default_storage()
    storage.prepare()
    own = {name: columns.pop(name) for name in list(columns) if not name.startswith("recording_")}
    row = make_recording(business, **own)
    token, hour_ago = uuid4().hex, timezone.now() - timedelta(hours=1)
    with storage.begin(row.pk, token) as part:
        part.write(body)
        name = part.commit()
    facts = {
        "recording_download_status": RecordingStatus.READY, "recording_file": name, "recording_bytes": len(body),
        "recording_bytes_total": len(body), "recording_sha256": hashlib.sha256(body).hexdigest(),
        "recording_content_type": "audio/wav", "recording_duration": 0.025,
        "recording_ready_at": hour_ago, "recording_last_enqueue_at": hour_ago,
    }  # fmt: skip
    CallLog.objects.filter(pk=row.pk).update(**facts | columns)
    row.refresh_from_db()
    return row


def file_of(row: CallLog) -> Path:
    """Where the file of a ready recording lies."""
    return default_storage().path(row.recording_file)
