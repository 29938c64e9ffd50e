"""Who asks with a token, and for which recording: one query for both, compiled once.

Two hundred listeners who come at once are two hundred of these. The usual way looks up the token with its user, then
the recording; to compile its two queries takes longer than the rest of an answer. The rights are the same
(calls.access), and whatever is not plainly in order, a refusal above all, is left to the usual way.
"""

import re
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection
from django.db.models import F
from django.http import HttpRequest, HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from calls.models import Business, RecordingStatus
from recordings.api.audio import Lost, audio
from recordings.models import Recording
from recordings.problems import Problem

_TOKEN = re.compile("Token ([0-9a-f]{40})")
_KEY, _SID = "the token's key", "the call's SID"


class Known(BaseAuthentication):
    """The owner of a token that has been looked up."""

    def __init__(self, row: Recording) -> None:
        self._listener: Any = getattr(row, "listener")  # noqa: B009  annotated

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, str]:
        """The user, of whom only the id is known; and that it was by a token."""
        return get_user_model()(pk=self._listener), "token"


def known_recording(request: HttpRequest, call_sid: str) -> Recording | None:
    """The recording with its business, for the owner of a token who may hear it; None where it takes more to tell."""
    token = _TOKEN.fullmatch(request.META.get("HTTP_AUTHORIZATION", ""))
    if token is None:
        return None
    sql, params = _query(connection.vendor)
    given: dict[object, str] = {_KEY: token[1], _SID: call_sid}
    for row in Recording.objects.raw(sql, [given.get(param, param) for param in params]):
        row.business = Business(pk=row.business_id, timezone=row.zone)
        return row  # type: ignore[no-any-return]
    return None


def play_ready(request: HttpRequest, row: Recording) -> HttpResponseBase | None:
    """The audio of a ready recording; None where there is more to think about."""
    if request.method != "GET" or "v" in request.GET or row.recording_download_status != RecordingStatus.READY:
        return None
    try:
        return audio(request, row)
    except (Lost, Problem):
        return None


@cache
def _query(_vendor: str) -> tuple[str, tuple[object, ...]]:
    """What authorises and reads, with its parameters."""
    rows = Recording.objects.filter(
        business__members__user__auth_token__key=_KEY, business__members__user__is_active=True, call_sid=_SID
    )
    return rows.annotate(zone=F("business__timezone"), listener=F("business__members__user")).query.sql_with_params()  # type: ignore[no-any-return]
