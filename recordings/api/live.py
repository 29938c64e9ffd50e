"""The bytes of a recording that is still arriving: `stream?live=1`."""

import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from enum import Enum

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from calls.models import CallLog, RecordingStatus
from recordings.api.audio import demand_satisfiable, demand_storage, file_name
from recordings.lifecycle import Answer
from recordings.playback.byte_range import RangeNotSatisfiable, parse_range
from recordings.playback.live import Flow, feeds
from recordings.playback.responses import live_response
from recordings.playback.waiting import LONGEST, give_up_connection, long_answers
from recordings.problems import Problem, wrong_parameters

_VERSION = re.compile(r"[0-9a-f]{1,16}-[0-9a-f]{1,16}")
_ENDLESS = 1 << 62


class NoPlace(Enum):
    """All places for long answers are taken."""

    NO_PLACE = "no place"


class NotTried(Enum):
    """Nobody has tried to hear it in this request."""

    NOT_TRIED = "not tried"


NO_PLACE = NoPlace.NO_PLACE
NOT_TRIED = NotTried.NOT_TRIED
Heard = HttpResponseBase | Answer | NoPlace | None
"""What trying to hear a recording that arrives came to: see `play_live`."""


def is_wanted(request: HttpRequest, row: CallLog) -> bool:
    """Whether the bytes are asked for while they arrive, and have not all arrived."""
    live = request.GET.get("live") == "1"
    return live and row.recording_download_status != RecordingStatus.READY


def wanted_version(request: HttpRequest) -> str | None:
    """The content that the client has a part of (`v`); a Problem (400) for what cannot name one."""
    wanted = request.GET.get("v")
    if wanted and not _VERSION.fullmatch(wanted):
        detail = _("This names no version of a recording; leave it out, or take it from the status.")
        raise wrong_parameters([{"parameter": "v", "code": "invalid", "detail": detail}])
    return wanted or None


def demand_version(request: HttpRequest, current: str | None) -> None:
    """A Problem (412) when the client wants the rest of another content than there is now."""
    wanted = wanted_version(request)
    if wanted and current and wanted != current:
        detail = _("The recording has changed since. Play it again.")
        raise Problem(412, "version_changed", detail)


def play_live(request: HttpRequest, row: CallLog) -> Heard:
    """The growing audio; else it is answered as without `live`: what asking for it did, None if another has asked.

    A resume is held for as long as a download may take, since a player gives up for good on anything but bytes. Raises
    Problem: 412, 416, and 503 where there is no storage for anything to arrive in.
    """
    resumes = _resumes(request)
    with ExitStack() as stack:
        if not stack.enter_context(long_answers().place(row.business_id, resumes=resumes)):
            return NO_PLACE
        feed = feeds.join(row.pk)
        stack.callback(feeds.leave, feed)
        if feed.flow is None:
            demand_storage()
        # Others may ask meanwhile, and are written together with this one; who waits for that needs no connection.
        give_up_connection()
        answer = feeds.ask(feed, row)
        give_up_connection()
        flow = feed.wait(settings.RECORDINGS_DEADLINE if resumes else LONGEST)
        if flow is None:
            return answer
        demand_version(request, flow.content.name)
        listener = stack.pop_all()
    try:
        response = demand_satisfiable(_answer(request, row, flow, listener.close))
    except BaseException:
        listener.close()
        raise
    if not response.streaming:
        listener.close()
    return response


def _answer(request: HttpRequest, row: CallLog, flow: Flow, let_go: Callable[[], None]) -> HttpResponseBase:
    content = flow.content
    row.recording_content_type = content.content_type  # as it was told since the row was read
    return live_response(
        request,
        flow.read,
        let_go,
        size=content.total,
        modified=content.version,
        content_type=content.content_type,
        filename=file_name(row),
    )


def _resumes(request: HttpRequest) -> bool:
    """Whether it goes on from a place in the middle, as a player does whose connection broke."""
    with suppress(RangeNotSatisfiable):
        part = parse_range(request.META.get("HTTP_RANGE"), _ENDLESS)
        return part is not None and 0 < part.start < _ENDLESS // 2  # after that are the last so many bytes
    return False
