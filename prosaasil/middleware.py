"""Before everything else: a name for every request, and what no request may be."""

import re
import threading
import uuid
from collections.abc import Callable
from typing import Any, cast

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware as XFrame
from django.middleware.security import SecurityMiddleware
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext as _

from prosaasil.logs import request_id
from recordings import problems
from recordings.api import short_way

_ACCEPTABLE = re.compile(r"[A-Za-z0-9_-]{8,64}")
_SESSION_KEY = re.compile(r"[a-z0-9]{1,40}")


LARGEST_BODY = 64 * 1024
BODIES = 16  # requests with a body at a time, in each process: slow ones must not hold every thread


class RequestId:
    """Take the X-Request-ID of the caller where it is a plain word, else make one; answer with it.

    An answer, its problem document and its log lines can then be found together.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Name the request while it is answered."""
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        name = given if _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(name)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response["X-Request-ID"] = name
        return response


class ShortWay:
    """Answers plays of programs at once, as all that comes after it would have: see recordings/api/short_way.py."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._add_headers = [each(get_response).process_response for each in (SecurityMiddleware, XFrame)]

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, or pass on."""
        played: Any = None if _length(request) != 0 else short_way.play(request)
        if played is None:
            return self.get_response(request)
        for add_headers in self._add_headers:
            add_headers(request, played)
        played["Vary"], played["Content-Language"] = "Accept-Language", settings.LANGUAGE_CODE
        if not played.streaming and "Content-Length" not in played:
            played["Content-Length"] = str(len(played.content))
        return cast(HttpResponseBase, played)


class BodyLimits:
    """Refuse bodies that are too large, of unknown length or in another encoding, before anything reads them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.places = threading.BoundedSemaphore(BODIES)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer what may be read, with as many bodies at a time as there are places."""
        length = _length(request)
        if length is None or length > LARGEST_BODY:
            words = _("The request's body must be of a known length, of at most %(bytes)d bytes.")
            return problems.refusal(request, 413, "body_too_large", words % {"bytes": LARGEST_BODY})
        if (request.content_params or {}).get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
            return problems.refusal(request, 415, "unsupported_charset", _("The request must be in UTF-8."))
        if not length:
            return self.get_response(request)
        if request.method in {"GET", "HEAD"}:  # it means nothing (RFC 9110 §9.3.1), and would hold a place as long
            return problems.refusal(request, 400, "unexpected_body", _("A request that only asks has no body."))
        if not self.places.acquire(blocking=False):
            words = _("Too many requests are being read. Please try again.")
            refusal = problems.refusal(request, 503, "busy", words, {"Retry-After": "1"})
            refusal._has_been_logged = True  # type: ignore[attr-defined]  # or Django would, hundreds of times
            return refusal
        try:
            request.body  # noqa: B018 - kept with the request: the answer needs no place, only the reading does
        except UnreadablePostError:
            return problems.refusal(request, 400, "unreadable_body", _("The request's body ended early."))
        finally:
            self.places.release()
        return self.get_response(request)


def is_program(request: HttpRequest) -> bool:
    """Whether the API is asked with a token: no session, no login and no page's messages are looked at then."""
    by_token = request.META.get("HTTP_AUTHORIZATION", "").startswith("Token ")
    return by_token and request.path_info.startswith(problems.API)


class _ForBrowsers(MiddlewareMixin):
    """Steps aside for programs: what each of these costs a request is as much as a query."""

    def __call__(self, request: HttpRequest) -> Any:
        """Pass on, or do what the class beside this one does."""
        return self.get_response(request) if is_program(request) else super().__call__(request)


class Sessions(_ForBrowsers, SessionMiddleware):
    """Django's, for cookies that can be a session's: PostgreSQL takes any text but NUL, and NUL is a fault then."""

    def process_request(self, request: HttpRequest) -> None:
        """Forget a cookie that Django has never given."""
        name = settings.SESSION_COOKIE_NAME
        if not _SESSION_KEY.fullmatch(request.COOKIES.get(name, "")):
            request.COOKIES.pop(name, None)
        super().process_request(request)


class Logins(_ForBrowsers, AuthenticationMiddleware):
    """Django's."""


class Messages(_ForBrowsers, MessageMiddleware):
    """Django's."""


class ContentSecurityPolicy(CSPMiddleware):
    """The library's, which would also make the policy of an answer that has its own, and then throw it away."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Add the policy where there is none."""
        return response if HEADER in response else super().process_response(request, response)


def _length(request: HttpRequest) -> int | None:
    """The length of the body in bytes; None where the request does not say."""
    if "HTTP_TRANSFER_ENCODING" in request.META:
        return None
    given = str(request.META.get("CONTENT_LENGTH") or "0")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 20 else None
