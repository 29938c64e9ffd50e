import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory

from recordings.playback.responses import BLOCK_BYTES, RecordingShrank, audio_response, nginx_response, strong_etag

CONTENT = bytes(range(256)) * 3000  # nearly three blocks
SIZE = len(CONTENT)
MODIFIED = 0x65F1A2B3
ETAG = f'"65f1a2b3-{SIZE:x}"'
LAST_MODIFIED = "Wed, 13 Mar 2024 12:57:23 GMT"

Ask = Callable[..., HttpResponseBase]

# Closing a response ends the request, and with it old database connections.
pytestmark = pytest.mark.django_db


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "recording"
    made.write_bytes(CONTENT)
    os.utime(made, (MODIFIED, MODIFIED + 0.75))
    return made


@pytest.fixture
def file(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as opened:
        yield opened


@pytest.fixture
def ask(file: BinaryIO) -> Ask:
    def ask(method: str = "GET", filename: str = "CA1.wav", **headers: str) -> HttpResponseBase:
        asked: WSGIRequest = RequestFactory().generic(
            method, "/", headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        return audio_response(asked, file, content_type="audio/wav", filename=filename)

    return ask


def body(response: HttpResponseBase) -> bytes:
    if isinstance(response, StreamingHttpResponse):
        return b"".join(cast(Iterator[bytes], response.streaming_content))
    return cast(HttpResponse, response).content


def test_the_whole_recording_is_sent_with_what_a_player_needs(ask: Ask, file: BinaryIO) -> None:
    response = ask()

    assert response.status_code == 200
    assert dict(response.items()) == {
        "Content-Type": "audio/wav",
        "Content-Length": str(SIZE),
        "Content-Disposition": 'inline; filename="CA1.wav"',
        "Accept-Ranges": "bytes",
        "ETag": ETAG,
        "Last-Modified": LAST_MODIFIED,
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    assert body(response) == CONTENT
    assert file.closed


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-", 0, SIZE),
        ("bytes=0-1", 0, 2),
        ("bytes=0-0", 0, 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        ("bytes=-999999999", 0, SIZE),
        ("bytes=262143-262144", 262143, 262145),
        ("bytes=100-600000", 100, 600001),
    ],
)
def test_a_range_is_sent_as_206(asked: str, start: int, stop: int, ask: Ask, file: BinaryIO) -> None:
    response = ask(Range=asked)

    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert response["Content-Length"] == str(stop - start)
    assert (response["Content-Type"], response["ETag"], response["Accept-Ranges"]) == ("audio/wav", ETAG, "bytes")
    assert body(response) == CONTENT[start:stop]
    assert file.closed


@pytest.mark.parametrize("asked", ["bytes=5-4", "bytes=0-1,5-6", "items=0-1", "bytes=٠-١".encode().decode("latin-1")])
def test_a_range_that_makes_no_sense_is_ignored(asked: str, ask: Ask) -> None:
    response = ask(Range=asked)
    assert response.status_code == 200
    assert "Content-Range" not in response
    assert body(response) == CONTENT


def test_a_range_beyond_the_end_is_416_and_tells_the_size(ask: Ask, file: BinaryIO) -> None:
    response = ask(Range=f"bytes={SIZE}-")

    assert response.status_code == 416
    assert response["Content-Range"] == f"bytes */{SIZE}"
    assert response["Content-Length"] == "0"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "ETag" not in response
    assert body(response) == b""
    assert file.closed


@pytest.mark.parametrize(("asked", "status"), [("bytes=0-", 416), ("bytes=-1", 200), ("", 200)])
def test_an_empty_file_has_no_ranges(asked: str, status: int, ask: Ask, path: Path) -> None:
    path.write_bytes(b"")
    response = ask(Range=asked)
    assert response.status_code == status
    assert response["Content-Length"] == "0"
    assert body(response) == b""


@pytest.mark.parametrize("validator", [ETAG, LAST_MODIFIED])
def test_a_resume_of_the_same_version_gets_its_range(validator: str, ask: Ask) -> None:
    response = ask(Range="bytes=5-", If_Range=validator)
    assert response.status_code == 206
    assert body(response) == CONTENT[5:]


@pytest.mark.parametrize("validator", [f"W/{ETAG}", '"other"', "Wed, 13 Mar 2024 12:57:22 GMT"])
@pytest.mark.parametrize("asked", ["bytes=5-", f"bytes={SIZE}-"])
def test_a_resume_of_another_version_gets_the_whole(asked: str, validator: str, ask: Ask) -> None:
    response = ask(Range=asked, If_Range=validator)
    assert response.status_code == 200
    assert body(response) == CONTENT


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "headers",
    [
        {"If_None_Match": ETAG},
        {"If_None_Match": f"W/{ETAG}", "Range": "bytes=0-1"},
        {"If_Modified_Since": LAST_MODIFIED},
    ],
)
def test_who_has_this_version_gets_304(headers: dict[str, str], method: str, ask: Ask, file: BinaryIO) -> None:
    response = ask(method, **headers)

    assert response.status_code == 304
    assert (response["ETag"], response["Cache-Control"]) == (ETAG, "private, no-cache")
    assert "Content-Length" not in response
    assert "Content-Type" not in response
    assert body(response) == b""
    assert file.closed


def test_head_has_the_headers_of_get_and_no_body(ask: Ask, file: BinaryIO, path: Path) -> None:
    head = ask("HEAD", Range="bytes=0-1")
    assert file.closed
    get = audio_response(RequestFactory().get("/"), path.open("rb"), content_type="audio/wav", filename="CA1.wav")
    get.close()

    assert head.status_code == 200
    assert dict(head.items()) == dict(get.items())
    assert body(head) == b""


def test_blocks_are_large_and_stay_inside_the_range(ask: Ask) -> None:
    response = ask(Range=f"bytes=1-{2 * BLOCK_BYTES + 1}")
    assert isinstance(response, StreamingHttpResponse)
    blocks = list(cast(Iterator[bytes], response.streaming_content))
    assert [len(block) for block in blocks] == [BLOCK_BYTES, BLOCK_BYTES, 1]


def test_a_file_that_shrinks_breaks_the_body_instead_of_ending_it(ask: Ask, file: BinaryIO, path: Path) -> None:
    response = ask()
    assert isinstance(response, StreamingHttpResponse)
    blocks = cast(Iterator[bytes], response.streaming_content)
    received = next(blocks)
    os.truncate(path, BLOCK_BYTES + 10)
    received += next(blocks)
    with pytest.raises(RecordingShrank):
        next(blocks)
    assert received == CONTENT[: BLOCK_BYTES + 10]
    assert file.closed


def test_a_file_that_grows_is_sent_at_its_promised_length(ask: Ask, path: Path) -> None:
    response = ask()
    with path.open("ab") as more:
        more.write(b"more")
    assert body(response) == CONTENT


@pytest.mark.parametrize("blocks_read", [0, 1])
def test_the_file_is_closed_when_the_client_goes(blocks_read: int, ask: Ask, file: BinaryIO) -> None:
    response = ask()
    assert isinstance(response, StreamingHttpResponse)
    blocks = cast(Iterator[bytes], response.streaming_content)
    for _ in range(blocks_read):
        next(blocks)
    assert not file.closed
    response.close()
    assert file.closed


def test_the_file_is_closed_when_the_answer_cannot_be_made(file: BinaryIO) -> None:
    with pytest.raises(ValueError, match="newlines"):
        audio_response(RequestFactory().get("/"), file, content_type="audio/wav\r\nX: y", filename="a.wav")
    assert file.closed


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        ('a"b\\c.wav', 'inline; filename="a\\"b\\\\c.wav"'),
        ("a\r\nSet-Cookie: x.wav", 'inline; filename="a__Set-Cookie: x.wav"'),
        ("שיחה.wav", "inline; filename*=utf-8''%D7%A9%D7%99%D7%97%D7%94.wav"),
        ("", "inline"),
    ],
)
def test_a_file_name_cannot_leave_its_header(filename: str, header: str, ask: Ask) -> None:
    response = ask(filename=filename)
    assert response["Content-Disposition"] == header
    response.close()


def test_the_etag_has_the_form_that_nginx_gives_the_same_file() -> None:
    assert strong_etag(MODIFIED + 0.999, 200) == '"65f1a2b3-c8"'


# --- left to nginx


def left(file: BinaryIO, method: str = "GET", **headers: str) -> HttpResponseBase:
    """As the view asks: nginx where it would answer alike, and ourselves where not."""
    asked = RequestFactory().generic(method, "/", headers={key.replace("_", "-"): headers[key] for key in headers})
    what = {"content_type": "audio/wav", "filename": "CA1.wav"}
    by_nginx = nginx_response(asked, "/_recordings/1/abc", size=SIZE, modified=MODIFIED, **what)
    return by_nginx or audio_response(asked, file, through_nginx=True, **what)


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-"}, {"Range": "bytes=-5"}, {"If_Range": ETAG}])
def test_the_bytes_are_left_to_nginx(headers: dict[str, str], file: BinaryIO) -> None:
    response = left(file, **headers)
    assert (response.status_code, response["X-Accel-Redirect"]) == (200, "/_recordings/1/abc")
    assert (response["Content-Type"], response["Cache-Control"]) == ("audio/wav", "private, no-cache")
    assert response["Content-Disposition"] == 'inline; filename="CA1.wav"'
    assert not {"ETag", "Last-Modified", "Content-Length", "Content-Range"} & set(response.headers)
    assert not response.streaming
    assert body(response) == b""


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (304, {"If_None_Match": ETAG}),
        (416, {"Range": f"bytes={SIZE}-"}),
        (200, {"Range": "bytes=5-4"}),
        (200, {"Range": "bytes=0-1,5-6"}),
        (200, {"Range": "bytes=5-", "If_Range": '"other"'}),
        (206, {"Range": "bytes=, 5-9"}),
        (206, {"Range": "bytes=5-9", "If_Match": '"other"'}),
        (200, {"If_None_Match": '"other"'}),
        (200, {"If_Modified_Since": "Wed, 13 Mar 2024 12:57:22 GMT"}),
    ],
)
def test_what_nginx_would_answer_in_another_way_is_answered_here(
    status: int, headers: dict[str, str], file: BinaryIO
) -> None:
    response = left(file, **headers)
    assert response.status_code == status
    assert "X-Accel-Redirect" not in response
    assert response.get("X-Accel-Buffering") == ("yes" if response.streaming else None)  # slow listeners are nginx's
    body(response)
    assert file.closed is response.streaming


def test_a_head_is_answered_here(file: BinaryIO) -> None:
    response = left(file, "HEAD")
    assert (response.status_code, response["Content-Length"]) == (200, str(SIZE))
    assert "X-Accel-Redirect" not in response
