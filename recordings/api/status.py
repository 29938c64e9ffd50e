"""GET recordings/{call_sid}/status and recordings/status?ids=…: they read, and nothing else."""

import re

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from calls.access import visible_to
from calls.models import CALL_SID_PATTERN
from recordings.api.base import CALL_SID, ApiView, find, membership, problems
from recordings.models import Recording
from recordings.problems import Problem, wrong_parameters
from recordings.serializers import PayloadSerializer, PayloadsSerializer
from recordings.status import payload, with_queue_ahead

MOST_IDS = 100


class StatusView(ApiView):
    """The status of one recording."""

    @extend_schema(
        operation_id="recordings_status", parameters=[CALL_SID],
        responses={200: PayloadSerializer, **problems(401, 403, 404)},
    )  # fmt: skip
    def get(self, request: Request, call_sid: str) -> Response:
        """Where the download stands. Starts nothing."""
        return Response(payload(find(request.user, with_queue_ahead(Recording.objects.all()), call_sid)))


class StatusesView(ApiView):
    """The status of many recordings."""

    @extend_schema(
        operation_id="recordings_statuses",
        parameters=[OpenApiParameter("ids", str, required=True, description="Up to 100 call SIDs, comma-separated.")],
        responses={200: PayloadsSerializer, **problems(400, 401, 403)},
    )
    def get(self, request: Request) -> Response:
        """Where these downloads stand, in one query. Starts nothing."""
        rows, not_found = asked_for(request)
        return Response({"results": {sid: payload(row) for sid, row in rows.items()}, "not_found": not_found})


def asked_for(request: Request) -> tuple[dict[str, Recording], list[str]]:
    """The recordings of `ids` by call SID, in one query, and the SIDs without one. Problems: 400, 403."""
    asked = _ids(request)
    rows = {row.call_sid: row for row in visible_to(request.user, Recording.objects.filter(call_sid__in=asked))}
    if not rows:
        membership(request.user)
    return {sid: rows[sid] for sid in asked if sid in rows}, [sid for sid in asked if sid not in rows]


def _ids(request: Request) -> list[str]:
    """The call SIDs asked for, each once, in their order; a Problem (400) for none, for too many, for what is none."""
    words = ",".join(request.query_params.getlist("ids")).split(",")
    asked = list(dict.fromkeys(word for word in map(str.strip, words) if word))
    if not asked:
        raise _wrong_ids("required", _("Name the calls, comma-separated."))
    if len(asked) > MOST_IDS:
        detail = _("Ask for at most %(most)d at a time.") % {"most": MOST_IDS}
        errors = [{"parameter": "ids", "code": "too_many_ids", "detail": detail}]
        raise Problem(400, "too_many_ids", detail, errors=errors)
    if not all(re.fullmatch(CALL_SID_PATTERN, word) for word in asked):
        raise _wrong_ids("invalid", _("One of these is no call SID."))
    return asked


def _wrong_ids(code: str, detail: str) -> Problem:
    return wrong_parameters([{"parameter": "ids", "code": code, "detail": detail}])
