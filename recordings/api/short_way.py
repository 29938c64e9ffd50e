"""The short way of what programs ask for by the hundred: bytes of a recording that is here, or on its way.

Addresses, the framework and what is for browsers cost more than such an answer itself. So it is answered before them,
to whoever plainly may hear it. Whatever else there is to say, a refusal above all, is said on the usual way, which
goes on from what was found here.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.http.request import split_domain_port, validate_host
from django.utils import translation

from calls.models import CALL_SID_PATTERN, RecordingStatus
from recordings.api.audio import Lost, audio
from recordings.api.known import KnownRecording, known_recording
from recordings.api.live import NOT_TRIED, Heard, NotTried, is_wanted, play_live
from recordings.fetch_metadata import is_guess
from recordings.models import Recording
from recordings.problems import Problem

_PATH = re.compile(rf"/api/recordings/({CALL_SID_PATTERN})/stream/?")
_USUAL = ("HTTP_COOKIE", "HTTP_ACCEPT_LANGUAGE")
"""Headers with which there is more to think about."""

_LONGEST_HOST = 255


@dataclass
class Tried:
    """What the usual way need not find out again: the token's owner, and what has been tried."""

    user_id: int
    heard: Heard | Problem | NotTried = NOT_TRIED


def found(request: HttpRequest) -> Tried | None:
    """What the short way has found for this request."""
    return getattr(request, "found", None)


def play(request: HttpRequest) -> HttpResponseBase | None:
    """The bytes; None where there is anything else to say."""
    path = _PATH.fullmatch(request.path_info)
    if path is None or is_guess(request) or any(map(request.META.get, _USUAL)):
        return None
    known = known_recording(request, path[1])
    if known is None or not _is_for_us(request):
        return None
    translation.activate(settings.LANGUAGE_CODE)
    request.found = result = Tried(known.user_id)  # type: ignore[attr-defined]
    if "v" in request.GET:
        return None
    if known.recording_download_status == RecordingStatus.READY:
        return _ready(request, known)
    row = known.row()
    if is_wanted(request, row):
        result.heard = _arriving(request, row)
    return result.heard if isinstance(result.heard, HttpResponseBase) else None


def _is_for_us(request: HttpRequest) -> bool:
    """Whether it names one of our hosts, as `get_host` would find. What does not plainly do so goes the usual way."""
    host = request.META.get("HTTP_HOST", request.META["SERVER_NAME"])
    return len(host) <= _LONGEST_HOST and _is_ours(host, tuple(settings.ALLOWED_HOSTS))


@lru_cache(maxsize=64)
def _is_ours(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _port = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


def _ready(request: HttpRequest, row: KnownRecording) -> HttpResponseBase | None:
    try:
        return audio(request, row)
    except (Lost, Problem):
        return None


def _arriving(request: HttpRequest, row: Recording) -> Heard | Problem:
    try:
        return play_live(request, row)
    except Problem as problem:
        return problem
