"""What is refused before anything reads it."""

import json
import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from calls.tests.factories import make_business, make_member
from prosaasil.handler import Handler
from prosaasil.middleware import BODIES, LARGEST_BODY, BodyLimits
from recordings.tests.api import problem

FORM = "application/x-www-form-urlencoded"


def post(path: str, size: int = 0, content_type: str = FORM, **headers: str) -> Any:
    return Client().generic("POST", path, b"a" * size, content_type, headers=headers)


def served(method: str, path: str, content_type: str, body: bytes = b"a") -> Any:
    """The answer of the handler that granian is given; the test client has another."""
    environ = RequestFactory().generic(method, path, body, FORM).environ | {"CONTENT_TYPE": content_type}
    return Handler().get_response(Handler.request_class(environ))


def test_a_body_above_64_kb_is_refused_unread() -> None:
    class Unread(BytesIO):
        def read(self, *args: Any) -> bytes:
            raise AssertionError("it was read")

    request = RequestFactory().post("/login/", "a", FORM)
    request.META |= {"CONTENT_LENGTH": str(LARGEST_BODY + 1), "wsgi.input": Unread()}
    assert BodyLimits(lambda request: HttpResponse(request.body))(request).status_code == 413


@pytest.mark.parametrize(("size", "headers"), [
    (LARGEST_BODY + 1, {}), (0, {"Transfer-Encoding": "chunked"}), (0, {"Content-Length": "x"}),
    (0, {"Content-Length": "-1"}), (0, {"Content-Length": "9" * 5_000}),
])  # fmt: skip
def test_a_body_too_large_or_of_no_known_length_is_a_413(size: int, headers: dict[str, str]) -> None:
    page = post("/login/", size, **headers)
    assert (page.status_code, page["Content-Type"]) == (413, "text/plain; charset=utf-8")
    answer = post("/api/recordings/a/download", size, **headers)
    assert answer.status_code == 413
    document = problem(answer)
    assert (document["code"], document["request_id"]) == ("body_too_large", answer["X-Request-ID"])


@pytest.mark.django_db
def test_one_of_64_kb_is_read() -> None:
    assert post("/login/", LARGEST_BODY).status_code == 200


@pytest.mark.parametrize("charset", ["zlib", "rot13", "utf-16", "latin-1", "none at all", '"zlib"', "UTF-8-sig"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_encoding_than_utf_8_is_a_415(method: str, charset: str) -> None:
    content_type = f"text/plain; charset={charset}"
    assert served(method, "/login/?next=%ff", content_type).status_code == 415
    answer = served(method, "/api/calls/?search=%ff", content_type)
    assert (answer.status_code, json.loads(answer.content)["code"]) == (415, "unsupported_charset")


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8"])
def test_utf_8_may_be_named(charset: str) -> None:
    assert served("POST", "/login/?next=%ff", f"{FORM}; charset={charset}").status_code == 403  # no CSRF token
    assert served("GET", "/login/?next=%ff", f"{FORM}; charset={charset}", b"").status_code == 200


class SlowBody:
    """One byte, which comes when it is let go; or the connection that broke meanwhile."""

    def __init__(self) -> None:
        self.awaited, self.go, self.broken = threading.Event(), threading.Event(), False

    def read(self, size: int) -> bytes:
        self.awaited.set()
        assert self.go.wait(30)
        if self.broken:
            raise ConnectionResetError
        return b"a"

    readline = read


def posted(body: SlowBody) -> HttpRequest:
    return RequestFactory().post("/api/calls/", "a", FORM, **{"wsgi.input": body})  # type: ignore[arg-type]


def test_more_bodies_at_a_time_than_there_are_places_are_asked_to_come_again() -> None:
    answers: list[int] = []
    answer: Callable[[HttpRequest], HttpResponse] = BodyLimits(lambda request: HttpResponse())
    bodies = [SlowBody() for _ in range(BODIES)]
    threads = [
        threading.Thread(target=lambda body=body: answers.append(answer(posted(body)).status_code)) for body in bodies
    ]
    for thread, body in zip(threads, bodies, strict=True):
        thread.start()
        assert body.awaited.wait(30)
    refused = answer(RequestFactory().post("/api/calls/", "a", FORM))
    assert (refused.status_code, refused["Retry-After"], json.loads(refused.content)["code"]) == (503, "1", "busy")
    assert answer(RequestFactory().get("/")).status_code == 200
    for body in bodies:
        body.go.set()
    for thread in threads:
        thread.join()
    assert answers == [200] * BODIES
    assert answer(RequestFactory().post("/", "a", FORM)).status_code == 200


def test_an_answer_holds_no_place_however_long_it_takes() -> None:
    leave, answers = threading.Event(), list[int]()
    inside = threading.Semaphore(0)

    def slow(request: HttpRequest) -> HttpResponse:
        inside.release()
        assert leave.wait(30)
        return HttpResponse(request.body)

    answer = BodyLimits(slow)
    threads = [
        threading.Thread(target=lambda: answers.append(answer(RequestFactory().post("/", "a", FORM)).status_code))
        for _ in range(BODIES + 3)
    ]
    for thread in threads:
        thread.start()
        assert inside.acquire(timeout=30)
    leave.set()
    for thread in threads:
        thread.join()
    assert answers == [200] * (BODIES + 3)


def test_a_body_that_breaks_off_is_a_400_and_its_place_is_free_again() -> None:
    answer = BodyLimits(lambda request: HttpResponse())
    for _ in range(BODIES + 1):
        body = SlowBody()
        body.broken = True
        body.go.set()
        refused = answer(posted(body))
        assert (refused.status_code, json.loads(refused.content)["code"]) == (400, "unreadable_body")


def test_a_crowd_that_is_refused_leaves_no_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("prosaasil.middleware.BODIES", 0)
    assert post("/login/", 1).status_code == 503
    assert capsys.readouterr().err == ""


def test_a_place_is_free_again_after_a_fault() -> None:
    def broken(request: HttpRequest) -> HttpResponse:
        raise RuntimeError

    limits = BodyLimits(broken)
    for _ in range(BODIES + 1):
        with pytest.raises(RuntimeError):
            limits(RequestFactory().post("/", "a", FORM))


@pytest.mark.django_db
def test_nothing_takes_a_file_and_the_forms_still_work() -> None:
    member = make_member(make_business())
    form = {"username": member.user.username, "password": "wrong"}
    assert Client().post("/login/", form).status_code == 200
    request = RequestFactory().post("/login/", form | {"file": SimpleUploadedFile("a.txt", b"a" * 1_000)})
    assert not request.FILES
    assert request.POST["username"] == member.user.username


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_where_none_can_be_meant_is_refused_and_takes_no_place(method: str) -> None:
    answer = Client().generic(method, "/api/calls/", b"x", FORM)
    assert answer.status_code == 400
    if method == "GET":
        assert problem(answer)["code"] == "unexpected_body"


@pytest.mark.django_db
@pytest.mark.parametrize("key", ['"aaaaaaaaaa\\000"', "a" * 41, "-", "'; --"])
def test_a_cookie_that_is_no_sessions_is_nobodys(key: str) -> None:
    assert Client(headers={"Cookie": f"{settings.SESSION_COOKIE_NAME}={key}"}).get("/").status_code == 302


@pytest.mark.django_db
def test_programs_have_no_session_and_browsers_have_one() -> None:
    business = make_business()
    member = make_member(business)
    browser = Client()
    browser.force_login(member.user)
    assert browser.get("/api/calls/").status_code == 200
    browser.cookies[settings.SESSION_COOKIE_NAME]["max-age"] = 3600
    assert browser.get("/api/calls/", headers={"Authorization": "Token " + "0" * 40}).status_code == 401


@pytest.mark.django_db
def test_a_failed_login_is_one_line_without_what_was_typed(caplog: pytest.LogCaptureFixture) -> None:
    Client().post("/login/", {"username": "hunter2", "password": "hunter3"})
    [line] = [record for record in caplog.records if record.name == "calls.access"]
    assert (line.getMessage(), vars(line)["action"]) == ("A login failed", "login_failed")
    assert "hunter" not in caplog.text
