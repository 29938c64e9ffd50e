"""recordings/problems.py: every error under /api/ is a problem document."""

import logging

import pytest
from django.test import Client
from pytest_django import Settings

from calls.tests.factories import make_business, make_call, make_member, make_recording
from recordings.tests.api import browser_of, problem, program_of, storage  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db
METHODS = ["get", "head", "post", "put", "patch", "delete", "options"]


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nothing", "/api/calls/a/b/c", "/api/%00", "/api/a%0Ab", "/api//calls/"]
)
@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_address_is_a_404_with_and_without_a_login(path: str, method: str) -> None:
    for client in (Client(), program_of(make_member(make_business()))):
        response = getattr(client, method)(path)
        assert response.status_code == 404
        if method != "head":
            assert problem(response)["code"] == "not_found"


def test_a_call_sid_that_cannot_be_one_is_a_404() -> None:
    client = program_of(make_member(make_business()))
    for sid in ("a b", "%00", "x" * 65, "a%0A", "%D7%90"):
        assert problem(client.get(f"/api/recordings/{sid}/status"))["code"] == "not_found"


def test_outside_the_api_errors_are_pages() -> None:
    response = Client().get("/nothing")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "path",
    ["/api/calls/", "/api/calls/a/", "/api/recordings/a/status", "/api/recordings/a/stream",
     "/api/recordings/status?ids=a"],
)  # fmt: skip
def test_without_a_login_it_is_401_and_says_how_to_log_in(path: str) -> None:
    response = Client().get(path)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Token"
    assert problem(response)["code"] == "not_authenticated"


def test_a_wrong_token_is_401() -> None:
    for value in ("Token nonsense", "Token", "Token a b", "Token \xff"):
        response = Client(headers={"Authorization": value}).get("/api/calls/")
        assert response.status_code == 401
        assert problem(response)["code"] == "authentication_failed"


@pytest.mark.parametrize(
    ("method", "path"),
    [("post", "/api/calls/"), ("delete", "/api/calls/a/"), ("post", "/api/recordings/a/stream"),
     ("put", "/api/recordings/a/status"), ("get", "/api/recordings/a/download"), ("post", "/api/schema/")],
)  # fmt: skip
def test_another_method_is_405_and_names_the_allowed(method: str, path: str) -> None:
    response = getattr(program_of(make_member(make_business())), method)(path)
    assert response.status_code == 405
    assert problem(response)["code"] == "method_not_allowed"
    assert "OPTIONS" in response["Allow"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code", "pointer"),
    [
        ("{", "application/json", 400, "parse_error", None),
        ("\xff", "application/json", 400, "parse_error", None),
        ("NaN", "application/json", 400, "parse_error", None),
        ("[]", "application/json", 400, "invalid_body", ""),
        ("null", "application/json", 400, "invalid_body", ""),
        ('{"force": "perhaps"}', "application/json", 400, "invalid_body", "/force"),
        ('{"force": null}', "application/json", 400, "invalid_body", "/force"),
        ("force=perhaps", "application/x-www-form-urlencoded", 400, "invalid_body", "/force"),
        ("--", "multipart/form-data", 415, "unsupported_media_type", None),
        ("[" * 60_000, "application/json", 400, "parse_error", None),
        ("<force/>", "application/xml", 415, "unsupported_media_type", None),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(
    body: str, content_type: str, status: int, code: str, pointer: str | None
) -> None:
    business = make_business()
    row = make_recording(business)
    client = program_of(make_member(business))
    response = client.post(f"/api/recordings/{row.call_sid}/download", body.encode("latin-1"), content_type)
    document = problem(response)
    assert (document["status"], document["code"]) == (status, code)
    assert [error["pointer"] for error in document["errors"]] == ([] if pointer is None else [pointer])


def test_a_session_without_its_csrf_token_is_refused() -> None:
    business = make_business()
    row = make_recording(business)
    response = browser_of(make_member(business)).post(f"/api/recordings/{row.call_sid}/download")
    assert response.status_code == 403
    assert problem(response)["code"] == "csrf_failed"
    row.refresh_from_db()
    assert row.recording_download_status == "missing"


def test_a_fault_of_ours_is_a_problem_too_and_names_the_log_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("recordings.api.calls.membership", fail)
    client = program_of(make_member(make_business()))
    client.raise_request_exception = False
    with caplog.at_level(logging.ERROR):
        response = client.get("/api/calls/", headers={"X-Request-ID": "find-me-again"})
    assert response.status_code == 500
    document = problem(response)
    assert (document["code"], document["request_id"]) == ("server_error", "find-me-again")
    assert "secret" not in response.content.decode()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_host_that_is_not_ours_is_refused_as_a_problem(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["calls.example.org"]
    response = Client(headers={"Host": "evil.example"}).get("/api/calls/")
    assert response.status_code == 400
    assert problem(response)["code"] == "bad_request"


def test_words_for_people_are_in_their_language() -> None:
    client = program_of(make_member(make_business()))
    response = client.get("/api/calls/nothing/", headers={"Accept-Language": "he"})
    assert response["Content-Language"] == "he"


def test_whatever_is_accepted_the_answer_is_json() -> None:
    business = make_business()
    call = make_call(business)
    client = program_of(make_member(business))
    for accepted in ("audio/*", "text/html", "application/xml;q=0.1", "nonsense"):
        response = client.get(f"/api/calls/{call.call_sid}/?format=mp3", headers={"Accept": accepted})
        assert (response.status_code, response["Content-Type"]) == (200, "application/json")
