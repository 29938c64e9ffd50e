"""GET recordings/{call_sid}/stream: the audio, or the download of it."""

import re

from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from calls.models import CallLog, RecordingStatus
from recordings.api.audio import EXTENSIONS, Lost, audio, put_right
from recordings.api.base import CALL_SID, ApiView, answered, find, problems
from recordings.api.known import KnownUser
from recordings.api.live import NO_PLACE, NOT_TRIED, Heard, NoPlace, NotTried, demand_version, play_live, wanted_version
from recordings.api.live import is_wanted as live_is_wanted
from recordings.api.short_way import found
from recordings.fetch_metadata import is_from_here, is_guess
from recordings.lifecycle import Answer, Ask
from recordings.models import Recording
from recordings.playback.waiting import LONGEST, long_answers, wait
from recordings.problems import Problem
from recordings.serializers import PayloadSerializer, RecordingProblemSerializer
from recordings.status import version

_WAIT = re.compile(r'\s*wait\s*=\s*(?:([0-9]{1,9})|"([0-9]{1,9})")\s*(?:;.*)?', re.IGNORECASE)
_HOPEFUL = {Answer.ENQUEUED, Answer.UNDER_WAY, Answer.BACKING_OFF}


class StreamView(ApiView):
    """The audio of one recording."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Nobody is looked up twice, unless that was long ago: rights may have been lost while the short way waited."""
        tried = found(self.request)
        if tried and isinstance(tried.heard, NotTried | NoPlace):
            return [KnownUser(tried.user_id)]
        return super().get_authenticators()

    @extend_schema(
        operation_id="recordings_stream",
        parameters=[
            CALL_SID,
            OpenApiParameter("Range", str, "header", description="One range of bytes."),
            OpenApiParameter("Prefer", str, "header", description="`wait=N`: hold up to N ≤ 25 s (RFC 7240)."),
            OpenApiParameter("live", str, description="`1`: send the bytes while they arrive; the length is known."),
            OpenApiParameter("v", str, description="The version whose bytes are wanted, as the status names it."),
        ],
        responses={
            **{(status, kind): OpenApiTypes.BINARY for status in (200, 206) for kind in EXTENSIONS},
            202: OpenApiResponse(PayloadSerializer, description="Not here yet; see Retry-After and Location."),
            304: None,
            **problems(400, 401, 403, 404, 412, 416, 503),
            **problems(409, 410, schema=RecordingProblemSerializer),
        },
    )  # fmt: skip
    def get(self, request: Request, call_sid: str) -> HttpResponseBase:
        """The audio when it is here, else 202 and its download is started; 409 or 410 when that is of no use."""
        tried = found(request._request)
        heard = tried.heard if tried else NOT_TRIED
        row = find(request.user, Recording.objects.select_related("business"), call_sid)
        wanted_version(request._request)  # what cannot name one is refused, whatever there is
        if not may_start(request):
            return _look(request, row)
        if not isinstance(heard, NotTried) or live_is_wanted(request._request, row):
            return _play_live(request, row, heard)
        played = _play(request, row)
        seconds = wait_preferred(request)
        if seconds and played in _HOPEFUL:
            return _hold(request, row, seconds, played)
        return answered(row, played) if isinstance(played, Answer) else played


def _audio(request: HttpRequest, row: CallLog) -> HttpResponseBase:
    """As `audio`; a Problem (412) where it is not the content that is wanted, which is looked at last of all."""
    demand_version(request, version(row))
    return audio(request, row)


def _look(request: Request, row: CallLog) -> HttpResponseBase:
    """The answer to a request that may start nothing: nothing is written."""
    match row.recording_download_status:
        case RecordingStatus.READY:
            try:
                return _audio(request._request, row)
            except Lost:
                row.recording_download_status = RecordingStatus.MISSING  # as it will be found, in this answer only
                return answered(row, Answer.NOT_STARTED)
        case RecordingStatus.FAILED if row.recording_next_retry_at is None:
            return answered(row, Answer.FAILED)
        case RecordingStatus.QUEUED | RecordingStatus.DOWNLOADING:
            return answered(row, Answer.UNDER_WAY)
        case _:
            return answered(row, Answer.NOT_STARTED)


def _play(request: Request, row: CallLog) -> HttpResponseBase | Answer:
    """The audio, or what asking for it did. A file that is gone is put right, and asked for once."""
    for _ in range(2):
        answer: Answer = Answer.READY
        if row.recording_download_status != RecordingStatus.READY:
            answer = Recording.objects.ask(row, Ask.PLAY)
        if answer is not Answer.READY:
            return answer
        try:
            return _audio(request._request, row)
        except Lost:
            put_right(row)
    return answer  # READY twice, and twice no file: the client asks again


def _play_live(request: Request, row: CallLog, heard: Heard | Problem | NotTried) -> HttpResponseBase:
    """The bytes while they arrive; where that can't be, as without `live`. `heard`: what has been tried already."""
    live = play_live(request._request, row) if isinstance(heard, NotTried) else heard
    if isinstance(live, Problem):
        raise live
    if isinstance(live, HttpResponseBase):
        return live
    if isinstance(heard, NotTried) and live is not NO_PLACE:
        row.refresh_from_db()  # it was waited for
    played = _play(request, row)
    if played is Answer.UNDER_WAY and isinstance(live, Answer):
        played = live  # what this request did is what it did at first
    return answered(row, played) if isinstance(played, Answer) else played


def _hold(request: Request, row: CallLog, seconds: int, answer: Answer) -> HttpResponseBase:
    """Hold the request until there is something new to say, and then say it. Without a free place, answer at once."""
    with long_answers().place(row.business_id) as taken:
        if not taken:
            return answered(row, answer)
        wait(row, seconds)
        row.refresh_from_db()
        played = _play(request, row)
    if played is Answer.UNDER_WAY:
        played = answer  # what this request did is what it did at first
    response = answered(row, played) if isinstance(played, Answer) else played
    response["Preference-Applied"] = f"wait={seconds}"
    return response


def may_start(request: Request) -> bool:
    """Only a GET, that is no prefetch, and from a browser only one that another site did not cause.

    A program's token can't be sent by another site's page.
    """
    if is_guess(request._request):
        return False
    return request.auth is not None or is_from_here(request._request)


def wait_preferred(request: Request) -> int:
    """The N of `Prefer: wait=N` (RFC 7240 §4.3), at most LONGEST; else 0. What makes no sense is ignored (§2)."""
    for preference in request.headers.get("Prefer", "").split(","):
        if found := _WAIT.fullmatch(preference):
            return min(LONGEST, int(found[1] or found[2]))
    return 0
