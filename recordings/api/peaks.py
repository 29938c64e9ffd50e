"""GET recordings/{call_sid}/peaks: the waveform of a ready recording."""

from django.http import HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.utils.http import http_date
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from calls.models import RecordingStatus
from recordings import sidecar
from recordings.api.audio import storage_away
from recordings.api.base import CALL_SID, ApiView, find, problems
from recordings.models import Recording
from recordings.playback.byte_range import is_not_modified
from recordings.playback.responses import strong_etag
from recordings.problems import Problem
from recordings.serializers import PeaksSerializer
from recordings.storage import StorageAway, default_storage


class PeaksView(ApiView):
    """The waveform of one recording."""

    @extend_schema(
        operation_id="recordings_peaks",
        parameters=[CALL_SID, OpenApiParameter("If-None-Match", str, "header", description="ETags that are known.")],
        responses={200: PeaksSerializer, 304: None, **problems(401, 403, 404, 503)},
    )
    def get(self, request: Request, call_sid: str) -> HttpResponseBase:
        """How loud it is, slice by slice; 404 `no_peaks` before it is ready, and for Ogg. Starts nothing."""
        row = find(request.user, Recording.objects.all(), call_sid)
        if row.recording_download_status != RecordingStatus.READY:
            raise Problem(404, "no_peaks", _("There is no waveform yet: the recording is not ready."))
        try:
            waveform = sidecar.kept(default_storage(), row.recording_file)
        except StorageAway as error:
            raise storage_away(error) from error
        if waveform is None:
            raise Problem(404, "no_peaks", _("There is no waveform of this recording."))
        return _answer(request, waveform)


def _answer(request: Request, waveform: sidecar.Kept) -> HttpResponseBase:
    modified = int(waveform.modified)
    etag = strong_etag(modified, len(waveform.content))
    headers = {"ETag": etag, "Last-Modified": http_date(modified), "Cache-Control": "private, no-cache"}
    asked = request.headers
    if is_not_modified(asked.get("If-None-Match"), asked.get("If-Modified-Since"), etag, modified):
        return HttpResponseNotModified(headers=headers)
    return HttpResponse(waveform.content, content_type="application/json", headers=headers)
