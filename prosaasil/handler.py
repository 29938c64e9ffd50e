"""Django's WSGI handler, for requests that are UTF-8 whatever they say."""

from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

from recordings.playback.turns import turn


class Request(WSGIRequest):
    """Django reads the query in the charset of Content-Type as the request is made: `zlib` is a fault then."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Keep what is said, for BodyLimits to refuse, and the encoding as it is."""
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class Handler(WSGIHandler):
    """The application."""

    request_class = Request

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer, up to the body, when it is this request's turn. One that brings a body of its own waits for it."""
        if environ.get("CONTENT_LENGTH", "0") not in {"", "0"} or environ.get("HTTP_TRANSFER_ENCODING"):
            return _in_one_piece(super().__call__(environ, start_response))
        with turn():
            return _in_one_piece(super().__call__(environ, start_response))


def _in_one_piece(response: Any) -> Any:
    """A body that is here is a list for the server: to be asked for each piece takes it longer than to send them.

    Closed here, for the server closes no list: that ends the request, and gives back its connection.
    """
    if getattr(response, "streaming", True):  # a file wrapper has no such word
        return response
    body = [response.content]
    response.close()
    return body
