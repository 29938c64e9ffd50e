"""Who asks with a token, and for which recording: one query for both, compiled once.

Two hundred listeners who come at once are two hundred of these. The usual way looks up the token with its user, then
the recording; to compile its two queries takes longer than the rest of an answer. The rights are the same
(calls.access), and whatever is not plainly in order, a refusal above all, is left to the usual way.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import F
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from calls.models import Business
from recordings.models import Recording

_TOKEN = re.compile("Token ([0-9a-f]{40})")
_KEY, _SID = "the token's key", "the call's SID"


class KnownBusiness(NamedTuple):
    """What a recording's audio takes of its business."""

    timezone: str

    @property
    def zone(self) -> ZoneInfo:
        """As Business.zone."""
        return ZoneInfo(self.timezone)


class KnownRecording(NamedTuple):
    """What has been read of a recording: as much as its audio takes; and the user who may hear it."""

    id: int
    business_id: int
    call_sid: str
    from_number: str
    to_number: str
    started_at: datetime
    recording_download_status: str
    recording_priority: int
    recording_next_retry_at: datetime | None
    recording_content_type: str
    recording_file: str
    recording_bytes: int | None
    timezone: str
    user_id: int

    @property
    def business(self) -> KnownBusiness:
        """Its business."""
        return KnownBusiness(self.timezone)

    def row(self) -> Recording:
        """As the row that it is. What has not been read is read when it is asked for."""
        columns = {name: value for name, value in self._asdict().items() if name not in _NO_COLUMNS}
        row: Recording = Recording.from_db(DEFAULT_DB_ALIAS, list(columns), list(columns.values()))
        row.business = Business.from_db(DEFAULT_DB_ALIAS, ["id", "timezone"], [self.business_id, self.timezone])
        return row


_NO_COLUMNS = {"timezone", "user_id"}


class KnownUser(BaseAuthentication):
    """The owner of a token that has been looked up."""

    def __init__(self, user_id: int) -> None:
        self._user_id = user_id

    def authenticate(self, request: Request) -> tuple[AbstractBaseUser, str]:
        """The user, of whom only the id is known; and that it was by a token."""
        return get_user_model()(pk=self._user_id), "token"


def known_recording(request: HttpRequest, call_sid: str) -> KnownRecording | None:
    """The recording, for the owner of a token who may hear it; None where it takes more to tell."""
    token = _TOKEN.fullmatch(request.META.get("HTTP_AUTHORIZATION", ""))
    if token is None:
        return None
    query = _prepared(connection.vendor)
    given: dict[Any, str] = {_KEY: token[1], _SID: call_sid}
    with connection.cursor() as cursor:
        cursor.execute(query.sql, [given.get(param, param) for param in query.params])
        found = cursor.fetchone()
    return _converted(query, found) if found else None


def _converted(query: "_Prepared", found: Sequence[Any]) -> KnownRecording:
    values = list(found)
    for column, (converters, expression) in query.converters.items():
        for convert in converters:
            values[column] = convert(values[column], expression, connection)
    return KnownRecording(*values)


class _Prepared(NamedTuple):
    """A compiled query: its parameters, and what becomes of the database's values, by column."""

    sql: str
    params: Sequence[Any]
    converters: dict[int, tuple[list[Any], Any]]


@cache
def _prepared(_vendor: str) -> _Prepared:
    """What authorises and reads."""
    rows = Recording.objects.filter(
        business__members__user__auth_token__key=_KEY, business__members__user__is_active=True, call_sid=_SID
    ).annotate(timezone=F("business__timezone"), user_id=F("business__members__user"))
    compiler = rows.values_list(*KnownRecording._fields).query.get_compiler(connection=connection)
    sql, params = compiler.as_sql()
    return _Prepared(sql, params, compiler.get_converters([column for column, *_ in compiler.select]))
