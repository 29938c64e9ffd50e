"""The play that is asked for most, at what it has to cost: a program's token, and a recording that is here.

The same rights and the same answer as on the usual way, in one query that is compiled once. Whatever is not plainly
this case, a refusal above all, is left to the usual way.
"""

import re
from functools import cache

from django.db import connection
from django.db.models import F
from django.http import HttpRequest, HttpResponseBase

from calls.models import Business, CallLog, RecordingStatus
from recordings.api.audio import Lost, audio
from recordings.problems import Problem

_TOKEN = re.compile("Token ([0-9a-f]{40})")
_COLUMNS = (
    "call_sid", "started_at", "from_number", "to_number",
    "recording_file", "recording_bytes", "recording_content_type",
)  # fmt: skip
_KEY, _SID = "the token's key", "the call's SID"


def play_ready(request: HttpRequest, call_sid: str) -> HttpResponseBase | None:
    """The audio of a ready recording for the owner of a token; None where there is more to think about."""
    token = _TOKEN.fullmatch(request.META.get("HTTP_AUTHORIZATION", ""))
    if request.method != "GET" or token is None or "v" in request.GET:
        return None
    sql, params = _query(connection.vendor)
    given: dict[object, str] = {_KEY: token[1], _SID: call_sid}
    for row in CallLog.objects.raw(sql, [given.get(param, param) for param in params]):
        row.business = Business(timezone=row.zone)  # type: ignore[attr-defined]  # annotated
        try:
            return audio(request, row)
        except (Lost, Problem):
            return None
    return None


@cache
def _query(_vendor: str) -> tuple[str, tuple[object, ...]]:
    """What authorises and reads, with its parameters. To compile it took longer than to answer a request."""
    rows = CallLog.objects.filter(
        business__members__user__auth_token__key=_KEY,
        business__members__user__is_active=True,
        call_sid=_SID,
        recording_download_status=RecordingStatus.READY,
        recording_url__isnull=False,
    )
    query = rows.only(*_COLUMNS).annotate(zone=F("business__timezone")).query
    return query.sql_with_params()
