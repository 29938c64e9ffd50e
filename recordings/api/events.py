"""GET recordings/events?ids=…: statuses and progress, pushed."""

from contextlib import ExitStack

from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from recordings.api.base import ApiView, problems
from recordings.api.status import asked_for
from recordings.playback.events import Events
from recordings.playback.waiting import give_up_connection, long_answers
from recordings.problems import Problem


class EventsView(ApiView):
    """What happens to many recordings."""

    @extend_schema(
        operation_id="recordings_events",
        parameters=[OpenApiParameter("ids", str, required=True, description="Up to 100 call SIDs, comma-separated.")],
        responses={(200, "text/event-stream"): OpenApiTypes.STR, **problems(400, 401, 403, 503)},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """`snapshot`, then `status` at each change or progress; ends after minutes: come back. Starts nothing."""
        rows, not_found = asked_for(request)
        with ExitStack() as stack:
            business = next((row.business_id for row in rows.values()), 0)
            if not stack.enter_context(long_answers().place(business)):
                detail = _("Too many wait at the moment. Ask for the status instead.")
                raise Problem(503, "busy", detail, headers={"Retry-After": "5"})
            give_up_connection()
            events = Events(rows, not_found, stack.pop_all().close)
        response = StreamingHttpResponse(events, content_type="text/event-stream; charset=utf-8")
        response["X-Accel-Buffering"] = "no"  # nginx passes on each event
        return response
