"""GET /healthz: this process answers. GET /readyz: it can do its work: database, storage, workers."""

import os
import time
from collections.abc import Callable

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from recordings import bell
from recordings.away import tell_storage_away
from recordings.storage import StorageAway, default_storage

SILENT = 15
"""Seconds without a sign of life after which the workers count as dead."""


class Unwell(Exception):
    """What is wrong, in words that may be shown to anybody."""


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all. Looks at nothing else: a restart would mend nothing else."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when every check is well, else 503; the body says which is not, and how."""
    checks = outcomes()
    well = all(outcome == "ok" for outcome in checks.values())
    response = JsonResponse({"status": "ok" if well else "failing", "checks": checks}, status=200 if well else 503)
    response._has_been_logged = True  # type: ignore[attr-defined]  # else Django logs an ERROR for each probe
    return response


def outcomes() -> dict[str, str]:
    """Of each check by its name: "ok", or what is wrong, in English."""
    return {name: _outcome(check) for name, check in _CHECKS.items()}


def _outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except Unwell as error:
        return str(error)
    return "ok"


def _database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        raise Unwell("does not answer") from error


def _storage() -> None:
    storage = default_storage()
    try:
        storage.check()
        disk = os.statvfs(storage.root)
    except (StorageAway, OSError) as error:
        tell_storage_away()
        raise Unwell("its marker file is not there") from error
    free = disk.f_bavail * disk.f_frsize
    if free < storage.min_free_bytes:
        raise Unwell(f"full: {free} bytes free, {storage.min_free_bytes} wanted")
    if not storage.writable():
        raise Unwell("cannot be written to")


def workers() -> None:
    """The cluster gave a sign of life lately, and writes to the storage that we read. Raises Unwell."""
    sign = bell.sign_of_life()
    try:
        silent = abs(time.time() - sign.stat().st_mtime)  # one from the future is no sign of life either
        theirs = sign.read_text()
    except OSError as error:
        raise Unwell("gave no sign of life") from error
    if silent > SILENT:
        raise Unwell(f"gave no sign of life for {silent:.0f} s")
    ours = _our_storage()
    if theirs and ours and theirs != ours:  # a storage that is away has its own line
        raise Unwell("write to another storage than the web reads")


def _our_storage() -> str:
    try:
        return default_storage().marker()
    except StorageAway:
        return ""


_CHECKS: dict[str, Callable[[], None]] = {"database": _database, "storage": _storage, "workers": workers}
