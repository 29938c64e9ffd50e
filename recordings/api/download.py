"""POST recordings/{call_sid}/download: a person asks, by name."""

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from calls.models import RecordingStatus
from recordings.api.audio import Lost, demand_file, put_right
from recordings.api.base import CALL_SID, ApiView, answered, find, membership, problems
from recordings.api.parsers import JSONParser
from recordings.lifecycle import Answer, Ask
from recordings.models import Recording
from recordings.problems import Problem
from recordings.serializers import DownloadRequestSerializer, PayloadSerializer, RecordingProblemSerializer
from recordings.status import payload


class DownloadView(ApiView):
    """The download of one recording."""

    parser_classes = (JSONParser, FormParser)  # a page's plain form may ask as well

    @extend_schema(
        operation_id="recordings_download", parameters=[CALL_SID],
        request={"application/json": DownloadRequestSerializer},
        responses={
            200: OpenApiResponse(PayloadSerializer, description="It is here."),
            202: OpenApiResponse(PayloadSerializer, description="See Retry-After and Location."),
            **problems(400, 401, 403, 404, 415, 503),
            **problems(409, 410, schema=RecordingProblemSerializer),
        },
    )  # fmt: skip
    def post(self, request: Request, call_sid: str) -> Response:
        """Download it now: a person's asking beats a backoff, a manager's `force` a permanent failure too."""
        body = DownloadRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        row = find(request.user, Recording.objects.all(), call_sid)
        ask = Ask.FORCE if body.validated_data["force"] else Ask.PERSON
        if ask is Ask.FORCE and not membership(request.user).is_manager:
            raise Problem(403, "managers_only", _("Only a manager can force a download."))
        if row.recording_download_status == RecordingStatus.READY:
            try:
                demand_file(row)
            except Lost:
                put_right(row)
        answer = Recording.objects.ask(row, ask)
        return Response(payload(row, answer)) if answer is Answer.READY else answered(row, answer)
