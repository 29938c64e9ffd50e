"""A recording and a request become 200, 206, 304 or 416. Reads nothing but what it is given."""

import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, Self

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified, StreamingHttpResponse
from django.utils.http import content_disposition_header, http_date

from recordings.playback.byte_range import (
    ByteRange,
    RangeNotSatisfiable,
    if_range_holds,
    is_not_modified,
    parse_range,
    unsatisfied_range,
)
from recordings.status import content_name

BLOCK_BYTES = 262144  # Django's own blocks of 4 KB cost 3.3 times the CPU
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ALWAYS = {
    "Cache-Control": "private, no-cache",  # with a strong ETag: browsers then send If-Range when they resume
    "Accept-Ranges": "bytes",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}
_PLAIN_RANGE = re.compile("bytes=([0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})")
_NGINX_JUDGES = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
_NGINX_ADDS = {"Content-Length", "Content-Range", "ETag", "Last-Modified"}


class RecordingShrank(Exception):
    """The file ended before the length that had been promised: the connection must break, not end well."""


def strong_etag(modified: float, size: int) -> str:
    """The ETag of a stored file, in nginx's form, so that it stays the same behind X-Accel-Redirect.

    `modified` is a Unix time, `size` is in bytes.
    """
    return f'"{content_name(int(modified), size)}"'


def audio_response(
    request: HttpRequest, file: BinaryIO, *, content_type: str, filename: str, nginx_path: str = ""
) -> HttpResponseBase:
    """Answer GET or HEAD for a whole recording: Range, If-Range, If-None-Match and If-Modified-Since are honoured.

    With `nginx_path`, where nginx finds the file, it sends the bytes; not where its answer would be another than ours.

    `file` is a real file, open for reading, and is taken over: it is closed when the body ends, when the client goes,
    or at once where there is no body. A 416 has an empty body. A file that turns out to be shorter than it was raises
    RecordingShrank in the middle of the body.
    """
    with ExitStack() as stack:
        stack.callback(file.close)
        found = os.fstat(file.fileno())

        def read(at: int, most: int) -> bytes:
            if block := os.pread(file.fileno(), most, at):
                return block
            raise RecordingShrank(f"Nothing is left at byte {at}.")

        body = _Audio(read, found.st_size, int(found.st_mtime), content_type, filename)
        response = _answer(request, body, file.close)
        if nginx_path and response.streaming and _nginx_agrees(request, response):
            return _left_to_nginx(response, nginx_path)
        if response.streaming:
            stack.pop_all()
            if nginx_path:
                response["X-Accel-Buffering"] = "yes"  # it is all here: no thread of ours for a slow listener
        return response


def _nginx_agrees(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether nginx, which reads the request's headers anew, makes the same answer of the file.

    It has views of its own on malformed ranges, on several conditions at once, and on some that we ignore.
    """
    asked = request.headers
    if any(name in asked for name in _NGINX_JUDGES):
        return False
    if response.status_code == 206:
        return _PLAIN_RANGE.fullmatch(asked["Range"]) is not None
    return "Range" not in asked


def _left_to_nginx(response: HttpResponseBase, path: str) -> HttpResponseBase:
    """What nginx makes an answer of: it adds status, length and validators, and the bytes (X-Accel-Redirect)."""
    adds = _NGINX_ADDS if response.status_code == 206 else _NGINX_ADDS | {"Accept-Ranges"}
    kept = {name: value for name, value in response.items() if name not in adds}
    return HttpResponse(headers={**kept, "X-Accel-Redirect": path})


def live_response(
    request: HttpRequest,
    read: Callable[[int, int], bytes],
    let_go: Callable[[], None],
    *,
    size: int,
    modified: int,
    content_type: str,
    filename: str,
) -> HttpResponseBase:
    """The same answer for a recording that is still arriving; it will have `size` bytes, and `modified` as its time.

    `read(at, most)` waits for bytes, and raises when they will never come: then the connection breaks. `let_go` is
    called when the body ends or the client goes; not where there is no body, nor when this raises.
    """
    response = _answer(request, _Audio(read, size, modified, content_type, filename), let_go)
    if response.streaming:
        response["X-Accel-Buffering"] = "no"  # nginx passes on what there is
    return response


@dataclass(frozen=True)
class _Audio:
    """What can be asked for: bytes by place and number, how many, as of when, what they are, and their name."""

    read: Callable[[int, int], bytes]
    size: int
    modified: int
    content_type: str
    filename: str


def _answer(request: HttpRequest, audio: _Audio, let_go: Callable[[], None]) -> HttpResponseBase:
    response = _conditional(request, audio, let_go)
    if response.status_code in (200, 206):
        name = _CONTROL.sub("_", audio.filename)
        response["Content-Type"] = audio.content_type
        response["Content-Disposition"] = content_disposition_header(as_attachment=False, filename=name) or "inline"
    for header, value in _ALWAYS.items():
        response[header] = value
    return response


def _conditional(request: HttpRequest, audio: _Audio, let_go: Callable[[], None]) -> HttpResponseBase:
    size, modified, asked = audio.size, audio.modified, request.headers
    validators = {"ETag": strong_etag(modified, size), "Last-Modified": http_date(modified)}
    if is_not_modified(asked.get("If-None-Match"), asked.get("If-Modified-Since"), validators["ETag"], modified):
        return HttpResponseNotModified(headers=validators)
    if request.method == "HEAD":  # Range is defined for GET only (RFC 9110 §14.2)
        return HttpResponse(headers={**validators, "Content-Length": str(size)})
    part = None
    if if_range_holds(asked.get("If-Range"), validators["ETag"], validators["Last-Modified"]):
        try:
            part = parse_range(asked.get("Range"), size)
        except RangeNotSatisfiable:
            return HttpResponse(status=416, headers={"Content-Range": unsatisfied_range(size), "Content-Length": "0"})
    body = _Body(audio.read, part or ByteRange(0, size), let_go)
    response = StreamingHttpResponse(body, status=206 if part else 200, headers=validators)
    response["Content-Length"] = str((part or ByteRange(0, size)).length)
    if part:
        response["Content-Range"] = part.content_range(size)
    return response


class _Body:
    """The bytes of a range, in blocks. Its `close`, which Django calls when the response ends, lets go of their source.

    A class and not a generator: a generator that was never started runs no `finally`, and a file would stay open.
    """

    def __init__(self, read: Callable[[int, int], bytes], part: ByteRange, let_go: Callable[[], None]) -> None:
        self._read, self._let_go = read, let_go
        self._at, self._stop = part.start, part.stop

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._at >= self._stop:
            self.close()
            raise StopIteration
        try:
            block = self._read(self._at, min(BLOCK_BYTES, self._stop - self._at))
        except BaseException:
            self.close()
            raise
        self._at += len(block)
        return block

    def close(self) -> None:
        """Harmless when repeated. Forgets its source too: this object may live on until the garbage is collected."""
        let_go, self._let_go = self._let_go, _nothing
        self._read = _no_more
        let_go()


def _nothing() -> None:
    """What is left to let go of."""


def _no_more(_at: int, _most: int) -> bytes:
    raise ValueError("The body has been closed.")
