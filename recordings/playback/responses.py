"""An open recording and a request become 200, 206, 304 or 416. Reads nothing but the file it is given."""

import os
import re
from contextlib import ExitStack
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

BLOCK_BYTES = 262144  # Django's own blocks of 4 KB cost 3.3 times the CPU
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ALWAYS = {
    "Cache-Control": "private, no-cache",  # with a strong ETag: browsers then send If-Range when they resume
    "Accept-Ranges": "bytes",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


class RecordingShrank(Exception):
    """The file ended before the length that had been promised: the connection must break, not end well."""


def strong_etag(modified: float, size: int) -> str:
    """The ETag of a stored file, in nginx's form, so that it stays the same behind X-Accel-Redirect.

    `modified` is a Unix time, `size` is in bytes.
    """
    return f'"{int(modified):x}-{size:x}"'


def audio_response(request: HttpRequest, file: BinaryIO, *, content_type: str, filename: str) -> HttpResponseBase:
    """Answer GET or HEAD for a whole recording: Range, If-Range, If-None-Match and If-Modified-Since are honoured.

    `file` is a real file, open for reading, and is taken over: it is closed when the body ends, when the client goes,
    or at once where there is no body. A 416 has an empty body. A file that turns out to be shorter than it was raises
    RecordingShrank in the middle of the body.
    """
    with ExitStack() as stack:
        stack.callback(file.close)
        response = _answer(request, file)
        if response.status_code in (200, 206):
            name = _CONTROL.sub("_", filename)
            response["Content-Type"] = content_type
            response["Content-Disposition"] = content_disposition_header(as_attachment=False, filename=name) or "inline"
        for header, value in _ALWAYS.items():
            response[header] = value
        if response.streaming:
            stack.pop_all()
        return response


def _answer(request: HttpRequest, file: BinaryIO) -> HttpResponseBase:
    found = os.fstat(file.fileno())
    size, modified = found.st_size, int(found.st_mtime)
    validators = {"ETag": strong_etag(modified, size), "Last-Modified": http_date(modified)}
    asked = request.headers
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
    whole = ByteRange(0, size)
    response = StreamingHttpResponse(_Body(file, part or whole), status=206 if part else 200, headers=validators)
    response["Content-Length"] = str((part or whole).length)
    if part:
        response["Content-Range"] = part.content_range(size)
    return response


class _Body:
    """The bytes of a range, in blocks. Its `close`, which Django calls when the response ends, closes the file.

    A class and not a generator: a generator that was never started runs no `finally`, and the file would stay open.
    """

    def __init__(self, file: BinaryIO, part: ByteRange) -> None:
        self._file = file
        self._at, self._stop = part.start, part.stop

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._at >= self._stop:
            self.close()
            raise StopIteration
        block = os.pread(self._file.fileno(), min(BLOCK_BYTES, self._stop - self._at), self._at)
        if not block:
            self.close()
            raise RecordingShrank(f"{self._stop - self._at} bytes are missing.")
        self._at += len(block)
        return block

    def close(self) -> None:
        self._file.close()
