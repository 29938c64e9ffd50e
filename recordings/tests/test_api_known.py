"""A ready recording, for the owner of a token: served in one query, and no otherwise than on the usual way."""

from typing import Any

import pytest
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries
from rest_framework.authtoken.models import Token

from calls.models import Business
from calls.tests.factories import WAV, file_of, make_business, make_member, make_ready, make_recording
from recordings.api.audio import file_name
from recordings.api.known import known_recording
from recordings.api.live import is_wanted
from recordings.lifecycle import Answer, tell
from recordings.models import Recording
from recordings.tests.api import body_of, problem, storage  # noqa: F401  (a fixture)
from recordings.tests.rows import world

pytestmark = pytest.mark.django_db
NOT_SAID_HERE = {"Allow", "X-Request-ID"}
"""What only the usual way adds, and what differs from request to request."""


@pytest.fixture
def business() -> Business:
    return make_business(timezone="Asia/Jerusalem")


@pytest.fixture
def key(business: Business) -> str:
    return str(Token.objects.create(user=make_member(business).user).key)


def play(key: str, row: Recording, query: str = "", space: str = " ", **headers: str) -> Any:
    """One play; with two spaces in its Authorization it goes the usual way."""
    sent = {"Authorization": f"Token{space}{key}"} | {name.replace("_", "-"): each for name, each in headers.items()}
    return Client().get(f"/api/recordings/{row.call_sid}/stream{query}", headers=sent)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Range": "bytes=4-7"}, {"Range": "bytes=9999-"}, {"Range": "bytes=four"}, {"If_None_Match": "*"},
     {"Range": "bytes=4-7", "If_Range": '"another"'}, {"Accept_Language": "he", "Range": "bytes=-5"}],
)  # fmt: skip
def test_its_answer_is_that_of_the_usual_way(business: Business, key: str, headers: dict[str, str]) -> None:
    row = make_ready(business)
    warm, usual = play(key, row, **headers), play(key, row, space="  ", **headers)
    assert warm.status_code == usual.status_code
    said = [{name: each for name, each in answer.items() if name not in NOT_SAID_HERE} for answer in (warm, usual)]
    assert said[0] == said[1]
    if warm.status_code != 416:  # which names the request
        assert body_of(warm) == body_of(usual)


def test_it_costs_one_query_that_knows_who_asks_and_writes_nothing(
    business: Business, key: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    row = make_ready(business)
    before = world()
    with django_assert_num_queries(1):
        assert body_of(play(key, row)) == WAV
    assert world() == before


def test_whoever_may_not_hear_it_is_refused_as_ever(business: Business, key: str) -> None:
    row, foreign = make_ready(business), make_ready(make_business())
    assert (play(key, foreign).status_code, play("f" * 40, row).status_code) == (404, 401)
    member = Token.objects.get(key=key).user.member
    member.user.is_active = False
    member.user.save()
    assert play(key, row).status_code == 401
    member.user.is_active = True
    member.user.save()
    assert body_of(play(key, row)) == WAV
    member.delete()
    assert play(key, row).status_code == 403


def test_the_version_of_other_bytes_is_412(business: Business, key: str) -> None:
    refused = play(key, make_ready(business, recording_version=7), "?v=1-1")
    assert (refused.status_code, problem(refused)["code"]) == (412, "version_changed")


@pytest.mark.parametrize("live", ["", "?live=1"])
def test_ready_is_ready_however_it_is_asked_for(business: Business, key: str, live: str) -> None:
    assert body_of(play(key, make_ready(business), live, Prefer="wait=5")) == WAV


def test_what_is_not_here_is_asked_for_and_a_lost_file_put_right(business: Business, key: str) -> None:
    cold, lost = make_recording(business), make_ready(business)
    file_of(lost).unlink()
    for row in (cold, lost):
        answer = play(key, row)
        assert (answer.status_code, answer.json()["outcome"]) == (202, "enqueued")


def test_a_request_without_a_host_or_with_a_strange_one_is_refused_as_ever(business: Business, key: str) -> None:
    row = make_ready(business)
    for host in ("", "another.example.com", "x" * 300):
        assert Client().get(f"/api/recordings/{row.call_sid}/stream", headers={"Authorization": f"Token {key}"},
                            HTTP_HOST=host).status_code == 400  # fmt: skip


def test_what_has_been_read_is_all_that_a_play_looks_at(
    business: Business, key: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    row = make_recording(business)
    request = RequestFactory().get("/?live=1", headers={"Authorization": f"Token {key}"})
    with django_assert_num_queries(1):
        known = known_recording(request, row.call_sid)
        assert known is not None
        read = known.row()
        assert is_wanted(request, read)
        assert file_name(read) == file_name(known)
        assert read.business.zone == known.business.zone
        tell(read, Answer.ENQUEUED)


def test_who_lost_their_rights_while_they_waited_is_refused(
    business: Business, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: object) -> Answer:
        Token.objects.filter(key=key).delete()
        return Answer.ENQUEUED

    row = make_recording(business)
    monkeypatch.setattr("recordings.api.short_way.play_live", wait)
    before = world()
    assert play(key, row, "?live=1").status_code == 401
    assert world() == before
