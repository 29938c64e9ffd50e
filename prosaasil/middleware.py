"""A name for every request, so that an answer, its problem document and its log lines can be found together."""

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from prosaasil.logs import request_id

_ACCEPTABLE = re.compile(r"[A-Za-z0-9_-]{8,64}")


class RequestId:
    """Take the X-Request-ID of the caller where it is a plain word, else make one; answer with it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Name the request while it is answered."""
        given = request.headers.get("X-Request-ID", "")
        name = given if _ACCEPTABLE.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(name)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response["X-Request-ID"] = name
        return response
