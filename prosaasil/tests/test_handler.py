"""Our WSGI application, as the server calls it."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.signals import request_finished
from django.http import HttpResponse, StreamingHttpResponse

from prosaasil.handler import Handler
from recordings.playback import turns

pytestmark = pytest.mark.django_db
ENVIRON = {
    "REQUEST_METHOD": "GET", "PATH_INFO": "/healthz", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
    "HTTP_HOST": "localhost", "wsgi.url_scheme": "http",
}  # fmt: skip


@pytest.fixture
def finished() -> Iterator[list[object]]:
    ended: list[object] = []

    def end(**_: object) -> None:
        ended.append(True)

    request_finished.connect(end)
    yield ended
    request_finished.disconnect(end)


def ask(handler: Handler, **environ: str) -> Any:
    return handler({**ENVIRON, "wsgi.input": io.BytesIO(), **environ}, lambda status, headers, exc_info=None: None)


def test_an_answer_that_is_here_is_a_list_and_ends_the_request(finished: list[object]) -> None:
    body = ask(Handler())
    assert isinstance(body, list)
    assert (len(body), len(finished)) == (1, 1)


def test_an_answer_that_is_still_to_come_is_the_servers_to_close(
    finished: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler()
    coming = StreamingHttpResponse(iter([b"a", b"b"]))
    monkeypatch.setattr(handler, "get_response", lambda request: coming)
    body = ask(handler)
    assert (list(body), finished) == ([b"a", b"b"], [])
    body.close()
    assert finished == [True]


@pytest.mark.parametrize(("length", "has_one"), [("", True), ("0", True), ("3", False)])
def test_a_request_that_brings_a_body_waits_for_it_without_a_turn(
    length: str, has_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def answer(request: object) -> HttpResponse:
        seen.append(turns._free.locked())
        return HttpResponse()

    handler = Handler()
    monkeypatch.setattr(handler, "get_response", answer)
    ask(handler, CONTENT_LENGTH=length)
    assert seen == [has_one]
