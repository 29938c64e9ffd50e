"""What the views share: JSON whatever is accepted, nothing kept in caches, one query that authorises and reads."""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.access import Person, member_of, visible_to
from calls.models import CallLog, Member
from recordings.lifecycle import Answer
from recordings.problems import CONTENT_TYPE, Problem
from recordings.serializers import ProblemSerializer
from recordings.status import is_gone, payload

Row = TypeVar("Row", bound=CallLog)


class JsonOnly(DefaultContentNegotiation):
    """Answers alike whatever is accepted: an <audio> asks for audio/*, and its 202 is JSON all the same."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The first renderer, always."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class ApiView(APIView):
    """A view under /api/."""

    content_negotiation_class = JsonOnly

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Let no cache keep what is not audio."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def membership(user: Person) -> Member:
    """The user's; a Problem (403) for a login without one, such as an operator's."""
    member = member_of(user)
    if member is None:
        raise Problem(403, "not_a_member", _("This login belongs to no business."))
    return member


def find(user: Person, rows: QuerySet[Row], call_sid: str) -> Row:
    """The one of `rows` with this call SID, in one query; a Problem where the user has none such (404, or 403)."""
    try:
        return visible_to(user, rows).get(call_sid=call_sid)
    except CallLog.DoesNotExist:
        membership(user)
        raise nothing_here() from None


def nothing_here() -> Problem:
    """404: no such thing, for this user."""
    return Problem(404, "not_found", _("There is nothing here."))


def answered(row: CallLog, answer: Answer) -> Response:
    """202 with the payload, when to ask again, and where. A Problem (409, 410) when asking again would not help."""
    body = payload(row, answer)
    if answer is Answer.FAILED:
        status, code = (410, "recording_gone") if is_gone(row) else (409, "recording_failed")
        raise Problem(status, code, body["message"], recording=body)
    headers = {"Location": reverse("recording-status", args=[row.call_sid])}
    if body["retry_after"] is not None:
        headers["Retry-After"] = str(body["retry_after"])
    return Response(body, status=202, headers=headers)


# --- for the schema

CALL_SID = OpenApiParameter("call_sid", OpenApiTypes.STR, OpenApiParameter.PATH, description="The call's SID.")


def problems(*statuses: int, schema: Any = ProblemSerializer) -> dict[Any, Any]:
    """These error answers, each a problem document."""
    return {(status, CONTENT_TYPE): OpenApiResponse(schema) for status in statuses}
