"""GET /healthz: this process answers. GET /readyz: it can do its work: database, storage, workers."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from prosaasil import trouble
from recordings import bell
from recordings.away import AWAY, FULL, NO_DESCRIPTORS, READ_ONLY, of_storage, tell_storage
from recordings.download.errors import StorageError, StorageFull, out_of_descriptors
from recordings.storage import Storage, StorageAway, default_storage

SILENT = 15
"""Seconds without a sign of life after which the workers count as dead."""


class Unwell(Exception):
    """What is wrong, in words that may be shown to anybody: no addresses, no folders. `facts` are filled into them."""

    def __init__(self, words: str, **facts: object) -> None:
        super().__init__(words % facts)
        self.words, self.facts = words, facts

    def translated(self) -> str:
        """For people."""
        return gettext(self.words) % self.facts


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
    found = troubles()
    return {name: str(found.get(name, "ok")) for name in _CHECKS}


def troubles() -> dict[str, Unwell]:
    """What is not well of database, storage and workers, by these names. One query."""
    found = {}
    for name, check in _CHECKS.items():
        try:
            check()
        except Unwell as error:
            found[name] = error
    return found


def _database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_READ_ONLY[connection.vendor])
            [read_only] = cursor.fetchone()
    except Error as error:
        raise Unwell(gettext_noop("does not answer")) from error
    if connection.vendor == "sqlite":
        folder = Path(str(connection.settings_dict["NAME"])).parent
        read_only = read_only or trouble.is_read_only(folder)
        if trouble.of_disk(folder):
            raise Unwell(gettext_noop("its disk is full"))
    if read_only:
        raise Unwell(gettext_noop("is read-only"))


_READ_ONLY = {"sqlite": "PRAGMA query_only", "postgresql": "SELECT current_setting('transaction_read_only')::boolean"}


def _storage() -> None:
    storage = default_storage()
    try:
        storage.demand_room()
    except (StorageError, StorageFull) as error:
        tell_storage(error)
        raise _unwell(storage, error) from error
    if not storage.writable():
        raise Unwell(gettext_noop("cannot be written to"))


def _unwell(storage: Storage, error: StorageError | StorageFull) -> Unwell:
    found = of_storage(error)
    if found is FULL:
        disk = os.statvfs(storage.root)
        facts = {"free": disk.f_bavail * disk.f_frsize, "wanted": storage.min_free_bytes}
        return Unwell(gettext_noop("full: %(free)d bytes free, %(wanted)d wanted"), **facts)
    words = {
        AWAY: gettext_noop("its marker file is not there"),
        READ_ONLY: gettext_noop("is mounted read-only"),
        NO_DESCRIPTORS: gettext_noop("a web process has no file descriptors left"),
    }
    return Unwell(words.get(found, gettext_noop("cannot be read")) if found else gettext_noop("cannot be read"))


def workers() -> None:
    """The cluster gave a sign of life lately, and writes to the storage that we read. Raises Unwell."""
    sign = bell.sign_of_life()
    try:
        silent = abs(time.time() - sign.stat().st_mtime)  # one from the future is no sign of life either
        theirs = sign.read_text()
    except OSError as error:
        if out_of_descriptors(error):
            return  # of ours, which says nothing of theirs; the storage's check tells
        raise Unwell(gettext_noop("gave no sign of life")) from error
    if silent > SILENT:
        raise Unwell(gettext_noop("gave no sign of life for %(seconds)d s"), seconds=round(silent))
    ours = _our_storage()
    if theirs and ours and theirs != ours:  # a storage that is away has its own line
        raise Unwell(gettext_noop("write to another storage than the web reads"))


def _our_storage() -> str:
    try:
        return default_storage().marker()
    except StorageAway:
        return ""


_CHECKS: dict[str, Callable[[], None]] = {"database": _database, "storage": _storage, "workers": workers}
