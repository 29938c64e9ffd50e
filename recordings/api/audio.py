"""The audio of a ready recording as a response; and what happens when its file is not there after all."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from calls.models import CallLog
from recordings.api.known import KnownRecording
from recordings.away import tell_storage
from recordings.models import Recording
from recordings.playback.responses import audio_response, nginx_response
from recordings.problems import Problem
from recordings.storage import StorageAway, default_storage

EXTENSIONS = {"audio/wav": "wav", "audio/mpeg": "mp3", "audio/flac": "flac", "audio/ogg": "ogg"}
_UNSAFE = re.compile(r"[^A-Za-z0-9+-]+")


class Lost(Exception):
    """The file of a ready recording is gone, or is not as long as it was; the storage itself is there."""


def audio(request: HttpRequest, row: CallLog | KnownRecording) -> HttpResponseBase:
    """200, 206, 304 or 416 for a ready recording. Raises Lost; a Problem (503) when the storage is away."""
    return demand_satisfiable(_from_nginx(request, row) or _from_here(request, row))


def _from_nginx(request: HttpRequest, row: CallLog | KnownRecording) -> HttpResponseBase | None:
    """What nginx sends, where it is the way in and would answer as we do."""
    if not settings.RECORDINGS_ACCEL:
        return None
    found = demand_file(row)
    return nginx_response(
        request,
        settings.RECORDINGS_ACCEL + row.recording_file,
        size=found.st_size,
        modified=int(found.st_mtime),
        content_type=row.recording_content_type,
        filename=file_name(row),
    )


def _from_here(request: HttpRequest, row: CallLog | KnownRecording) -> HttpResponseBase:
    with _lost():
        file = default_storage().open(row.recording_file)
    if os.fstat(file.fileno()).st_size != row.recording_bytes:
        file.close()
        raise Lost
    response = audio_response(
        request,
        file,
        content_type=row.recording_content_type,
        filename=file_name(row),
        through_nginx=bool(settings.RECORDINGS_ACCEL),
    )
    if response.streaming and not connection.in_atomic_block:
        # Now and not when the body has been sent: a pool has fewer connections than a recording may have listeners.
        connection.close_if_unusable_or_obsolete()
    return response


def demand_satisfiable(response: HttpResponseBase) -> HttpResponseBase:
    """The response; a Problem instead of a bare 416."""
    if response.status_code == 416:
        detail = _("The recording ends before the range begins.")
        headers = {name: response[name] for name in ("Content-Range", "Accept-Ranges")}
        raise Problem(416, "range_not_satisfiable", detail, headers=headers)
    return response


def put_right(row: CallLog) -> None:
    """A ready recording whose file is gone is missing, and can be asked for again. Another's repair counts as well."""
    Recording.objects.lose(row)
    row.refresh_from_db()


def demand_file(row: CallLog | KnownRecording) -> os.stat_result:
    """What the file of a ready recording is on the disk. Raises Lost where it is gone, or is not as long as it was.

    A Problem (503) when the storage is away.
    """
    with _lost():
        found = default_storage().stat(row.recording_file)
    if found.st_size != row.recording_bytes:
        raise Lost
    return found


def demand_storage() -> None:
    """A Problem (503) when the storage is away."""
    with _lost():
        default_storage().check()


@contextmanager
def _lost() -> Iterator[None]:
    """Only around what looks for the file: no other fault may have a recording believed lost."""
    try:
        yield
    except StorageAway as error:
        raise storage_away(error) from error
    except (FileNotFoundError, ValueError) as error:
        raise Lost from error


def storage_away(error: StorageAway) -> Problem:
    """503: nothing is wrong with the recording. Operators are told, once a minute."""
    tell_storage(error)
    detail = _("The recordings cannot be reached at the moment. Please try again later.")
    return Problem(503, "storage_away", detail, headers={"Retry-After": "10"})


def file_name(row: CallLog | KnownRecording) -> str:
    """What the browser offers to save it as, with the local time: 2026-11-23_1030_+972541234567_+97231234567.mp3."""
    return _named(row.started_at, row.business.zone, row.from_number, row.to_number, row.recording_content_type)


@lru_cache(maxsize=4096)
def _named(at: datetime, zone: ZoneInfo, from_number: str, to_number: str, content_type: str) -> str:
    started = at.astimezone(zone).strftime("%Y-%m-%d_%H%M")
    numbers = [_UNSAFE.sub("", number) for number in (from_number, to_number)]
    return "_".join([started, *filter(None, numbers)]) + f".{EXTENSIONS.get(content_type, 'bin')}"
