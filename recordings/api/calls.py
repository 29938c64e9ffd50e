"""GET calls/ and calls/{call_sid}/."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from calls.filters import CallFilter
from calls.keyset import BadCursor, Order, Page, paginate
from calls.models import CallLog, CallStatus, Direction, RecordingStatus
from recordings.api.base import CALL_SID, ApiView, find, membership, problems
from recordings.problems import wrong_parameters
from recordings.serializers import CallPageSerializer, CallSerializer

LIMIT, HIGHEST_LIMIT = 50, 200
_MOMENT = "A day in the business's time zone (2026-11-23), or a time (2026-11-23T10:30:00Z)"


def _query(name: str, description: str, **more: Any) -> OpenApiParameter:
    kind = more.pop("type", OpenApiTypes.STR)
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, **more)


class CallsView(ApiView):
    """The calls of the user's business."""

    @extend_schema(
        operation_id="calls_list",
        parameters=[
            _query("search", "Digits of a number (054-1234567 finds +972541234567), or part of a call SID or agent."),
            _query("direction", "", enum=Direction.values),
            _query("status", "How the call went.", enum=CallStatus.values),
            _query("agent", "The agent's whole name."),
            _query("recording", "The recording's status, or `none`.", enum=[*RecordingStatus.values, "none"]),
            _query("since", f"{_MOMENT}: calls that started then or later."),
            _query("until", f"{_MOMENT}: calls that started before it, or on that day."),
            _query("updated_since", f"{_MOMENT}: calls that changed then or later. Overlap by a minute."),
            _query("order", "`newest` first; or last `updated` last.", enum=list(Order), default="newest"),
            _query("cursor", "From `next` or `previous`."),
            _query("limit", "", type={"type": "integer", "minimum": 1, "maximum": HIGHEST_LIMIT}, default=LIMIT),
        ],
        responses={200: CallPageSerializer, **problems(400, 401, 403)},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """A page of calls, each with its recording's status."""
        business = membership(request.user).business
        calls = CallFilter(request.query_params, CallLog.objects.filter(business=business), zone=business.zone)
        page = _page(request, calls)
        return Response({
            "next": _link(request, page.next),
            "previous": _link(request, page.previous),
            "results": CallSerializer(page.rows, many=True).data,
        })  # fmt: skip


class CallView(ApiView):
    """One call."""

    @extend_schema(
        operation_id="calls_retrieve", parameters=[CALL_SID], responses={200: CallSerializer, **problems(401, 403, 404)}
    )
    def get(self, request: Request, call_sid: str) -> Response:
        """One call, with its recording's status."""
        return Response(CallSerializer(find(request.user, CallLog.objects.all(), call_sid)).data)


def _page(request: Request, calls: CallFilter) -> Page:
    """The page that the query asks for; a Problem (400) that names everything in it that makes no sense."""
    asked, wrong = request.query_params, []
    for parameter, errors in calls.errors.as_data().items():
        for error in errors:
            detail = " ".join(error.messages)
            wrong.append({"parameter": parameter, "code": error.code or "invalid", "detail": detail})
    order, limit = asked.get("order", Order.NEWEST.value), asked.get("limit", str(LIMIT))
    if order not in set(Order):
        wrong.append({"parameter": "order", "code": "invalid_choice", "detail": _("It may be newest or updated.")})
    if not (limit.isascii() and limit.isdecimal() and len(limit) <= 9 and 1 <= int(limit) <= HIGHEST_LIMIT):
        wrong.append({"parameter": "limit", "code": "invalid", "detail": _("It may be a whole number from 1 to 200.")})
    if wrong:
        raise wrong_parameters(wrong)
    try:
        return paginate(calls.qs, order=Order(order), cursor=asked.get("cursor"), limit=int(limit))
    except BadCursor:
        wrong.append({"parameter": "cursor", "code": "invalid", "detail": _("This is no cursor of this list.")})
        raise wrong_parameters(wrong) from None


def _link(request: Request, cursor: str | None) -> str | None:
    """This request's address with another cursor."""
    return None if cursor is None else replace_query_param(request.build_absolute_uri(), "cursor", cursor)
