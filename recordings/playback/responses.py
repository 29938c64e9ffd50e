"""A recording and a request become 200, 206, 304 or 416. Reads nothing but what it is given."""

import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from typing import BinaryIO, NamedTuple, Self

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
_NGINX_JUDGES = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE")
_NGINX_ADDS = {"Content-Length", "Content-Range", "ETag", "Last-Modified"}


class RecordingShrank(Exception):
    """The file ended before the length that had been promised: the connection must break, not end well."""


def strong_etag(modified: float, size: int) -> str:
    """The ETag of a stored file, in nginx's form, so that it stays the same behind X-Accel-Redirect.

    `modified` is a Unix time, `size` is in bytes.
    """
    return f'"{content_name(int(modified), size)}"'


def audio_response(
    request: HttpRequest, file: BinaryIO, *, content_type: str, filename: str, through_nginx: bool = False
) -> HttpResponseBase:
    """Answer GET or HEAD for a whole recording: Range, If-Range, If-None-Match and If-Modified-Since are honoured.

    `file` is a real file, open for reading, and is taken over: it is closed when the body ends, when the client goes,
    or at once where there is no body. A 416 has an empty body. A file that turns out to be shorter than it was raises
    RecordingShrank in the middle of the body.
    """

    def read(at: int, most: int) -> bytes:
        if block := os.pread(file.fileno(), most, at):
            return block
        raise RecordingShrank(f"Nothing is left at byte {at}.")

    with ExitStack() as stack:
        stack.callback(file.close)
        found = os.fstat(file.fileno())
        answer = _answer(request, found.st_size, int(found.st_mtime), content_type, filename)
        if not answer.part:
            return _without_body(answer)
        if through_nginx:
            answer.headers["X-Accel-Buffering"] = "yes"  # it is all here: no thread of ours for a slow listener
        response = _streaming(answer, _Body(read, answer.part, file.close))
        stack.pop_all()
        return response


def nginx_response(
    request: HttpRequest, path: str, *, size: int, modified: int, content_type: str, filename: str
) -> HttpResponseBase | None:
    """The same answer, in which nginx sends the bytes of what it finds at `path`; None where it would make another."""
    answer = _answer(request, size, modified, content_type, filename)
    if not answer.part:
        return _without_body(answer)
    return _left_to_nginx(answer, path) if _nginx_agrees(request, answer.status) else None


def _nginx_agrees(request: HttpRequest, status: int) -> bool:
    """Whether nginx, which reads the request's headers anew, makes the same answer of the file.

    It has views of its own on malformed ranges, on several conditions at once, and on some that we ignore.
    """
    asked = request.META
    if any(name in asked for name in _NGINX_JUDGES):
        return False
    if status == 206:
        return _PLAIN_RANGE.fullmatch(asked["HTTP_RANGE"]) is not None
    return "HTTP_RANGE" not in asked


def _left_to_nginx(answer: "_Answer", path: str) -> HttpResponseBase:
    """What nginx makes an answer of: it adds status, length and validators, and the bytes (X-Accel-Redirect)."""
    adds = _NGINX_ADDS if answer.status == 206 else _NGINX_ADDS | {"Accept-Ranges"}
    kept = {name: value for name, value in answer.headers.items() if name not in adds}
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
    answer = _answer(request, size, modified, content_type, filename)
    if not answer.part:
        return _without_body(answer)
    answer.headers["X-Accel-Buffering"] = "no"  # nginx passes on what there is
    return _streaming(answer, _Body(read, answer.part, let_go))


class _Answer(NamedTuple):
    """What is said, and which bytes; None where there are none to be sent."""

    status: int
    part: ByteRange | None
    headers: dict[str, str]


def _without_body(answer: _Answer) -> HttpResponseBase:
    if answer.status == 304:
        return HttpResponseNotModified(headers=answer.headers)
    return HttpResponse(status=answer.status, headers=answer.headers)


def _streaming(answer: _Answer, body: "_Body") -> HttpResponseBase:
    return StreamingHttpResponse(body, status=answer.status, headers=answer.headers)


def _answer(request: HttpRequest, size: int, modified: int, content_type: str, filename: str) -> _Answer:
    answer = _conditional(request, size, modified)
    if answer.status in (200, 206):
        answer.headers["Content-Type"] = content_type
        answer.headers["Content-Disposition"] = _disposition(filename)
    answer.headers.update(_ALWAYS)
    return answer


def _conditional(request: HttpRequest, size: int, modified: int) -> _Answer:
    asked = request.META.get
    etag, date = strong_etag(modified, size), _http_date(modified)
    validators = {"ETag": etag, "Last-Modified": date}
    if is_not_modified(asked("HTTP_IF_NONE_MATCH"), asked("HTTP_IF_MODIFIED_SINCE"), etag, modified):
        return _Answer(304, None, validators)
    if request.method == "HEAD":  # Range is defined for GET only (RFC 9110 §14.2)
        return _Answer(200, None, validators | {"Content-Length": str(size)})
    part = None
    if if_range_holds(asked("HTTP_IF_RANGE"), etag, date):
        try:
            part = parse_range(asked("HTTP_RANGE"), size)
        except RangeNotSatisfiable:
            return _Answer(416, None, {"Content-Range": unsatisfied_range(size), "Content-Length": "0"})
    if part is None:
        return _Answer(200, ByteRange(0, size), validators | {"Content-Length": str(size)})
    told = {"Content-Length": str(part.length), "Content-Range": part.content_range(size)}
    return _Answer(206, part, validators | told)


# A player asks for one recording many times, a range at a time.
_http_date = lru_cache(maxsize=4096)(http_date)


@lru_cache(maxsize=4096)
def _disposition(filename: str) -> str:
    return content_disposition_header(as_attachment=False, filename=_CONTROL.sub("_", filename)) or "inline"


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
