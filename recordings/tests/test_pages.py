"""Recent calls, one call, login, language and the error pages, as a browser gets them without running a script."""

import gzip
import html
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from pytest_django import DjangoAssertNumQueries, Settings

from calls.models import Business, CallLog, Member, RecordingStatus
from calls.tests.factories import make_business, make_call, make_manager, make_member, make_recording
from recordings import pages
from recordings.models import Recording
from recordings.reasons import Reason
from recordings.status import version

pytestmark = pytest.mark.django_db
QUERIES = 5
"""Session, user, member with business, calls, names of agents."""


@pytest.fixture
def business() -> Business:
    return make_business("alice", timezone="Asia/Jerusalem")


@pytest.fixture
def listener(business: Business) -> Client:
    return client_of(make_member(business, "lior"))


@pytest.fixture
def manager(business: Business) -> Client:
    return client_of(make_manager(business, "dana"))


def client_of(member: Member, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(member.user)
    return client


def source(response: Any) -> str:
    """The page's HTML, each space single."""
    return re.sub(r"\s+", " ", response.content.decode())


def text(response: Any) -> str:
    """The words of the page, without its tags and scripts."""
    page = re.sub(r"<script.*?</script>|<[^>]*>", " ", source(response))
    return re.sub(r"\s+", " ", html.unescape(page))


def sids(response: Any) -> list[str]:
    """The calls on the page, in their order."""
    return re.findall(r'<tr class="call" id="call-([^"]+)"', source(response))


def link(response: Any, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]+)"', source(response))
    return html.unescape(found[1]) if found else None


# --- who gets in


def test_a_visitor_is_asked_to_log_in_and_comes_back_to_the_page_asked_for(business: Business) -> None:
    member, client = make_member(business), Client()
    response = client.get("/?search=054")
    assert response.status_code == 302
    assert response["Location"] == "/login/?next=/%3Fsearch%3D054"
    login = {"username": member.user.get_username(), "password": "secret"}
    response = client.post("/login/", {**login, "next": "/?search=054"})
    assert response["Location"] == "/?search=054"


def test_a_wrong_password_is_said_in_words_and_keeps_the_name(business: Business) -> None:
    make_member(business, "lior")
    response = Client().post("/login/", {"username": "lior", "password": "wrong"})
    assert "correct username and password" in text(response)
    assert 'value="lior"' in source(response)


def test_logging_out_takes_a_post(listener: Client) -> None:
    assert listener.get("/logout/").status_code == 405
    assert listener.post("/logout/")["Location"] == "/login/"
    assert listener.get("/")["Location"].startswith("/login/")


def test_no_page_of_calls_is_kept_by_a_cache(business: Business, listener: Client) -> None:
    call = make_call(business)
    for address in ("/", f"/calls/{call.call_sid}"):
        assert "no-store" in listener.get(address)["Cache-Control"]


@pytest.mark.parametrize("is_staff", [False, True])
def test_a_user_without_a_business_is_told_whom_to_ask_and_staff_are_shown_the_admin(is_staff: bool) -> None:
    client = Client()
    client.force_login(User.objects.create_user("olga", is_staff=is_staff))
    response = client.get("/")
    assert response.status_code == 403
    assert "Ask an operator to add you" in text(response)
    assert ("/admin/" in source(response)) is is_staff


def test_the_calls_of_another_business_are_not_there(business: Business, listener: Client) -> None:
    mine, theirs = make_call(business), make_recording(make_business("bob"))
    assert sids(listener.get("/")) == [mine.call_sid]
    assert listener.get(f"/calls/{theirs.call_sid}").status_code == 404
    assert listener.post(f"/calls/{theirs.call_sid}").status_code == 404
    assert status_of(theirs) == RecordingStatus.MISSING


def test_the_agents_of_another_business_are_not_offered(business: Business, listener: Client) -> None:
    make_call(business, agent="Noa")
    make_call(make_business("bob"), agent="Mallory")
    page = source(listener.get("/"))
    assert "Noa" in page
    assert "Mallory" not in page


# --- what a page costs


@pytest.mark.parametrize("count", [10, 50])
def test_a_page_of_any_length_takes_the_same_few_queries(
    business: Business, listener: Client, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    for number in range(count):
        status = RecordingStatus.values[number % 5]
        make_recording(business, status, agent=f"Agent {number}")
    with django_assert_num_queries(QUERIES):
        response = listener.get("/")
    assert len(sids(response)) == count


def test_a_page_load_writes_nothing_and_rings_no_bell(business: Business, listener: Client) -> None:
    for status in RecordingStatus.values:
        make_recording(business, status)
    before = list(CallLog.objects.order_by("pk").values())
    with CaptureQueriesContext(connection) as queries:
        listener.get("/")
    assert [query["sql"] for query in queries if not query["sql"].startswith("SELECT")] == []
    assert list(CallLog.objects.order_by("pk").values()) == before


def test_the_page_names_no_audio_and_runs_nothing_that_stands_in_it(business: Business, listener: Client) -> None:
    make_recording(business, "ready")
    page = source(listener.get("/"))
    assert re.findall(r"<audio[^>]*>", page) == ['<audio preload="none">']
    assert re.findall(r"<script(?![^>]*(?:src=|application/json))", page) == []
    assert re.findall(r"<[^>]* (?:style|on\w+)=", page) == []
    assert "<style" not in page


def test_the_player_weighs_little() -> None:
    folder = Path(settings.BASE_DIR) / "recordings" / "static" / "recordings"
    files = [*sorted(set(folder.glob("*.js")) - {folder / "api-docs.js"}), folder / "player.css"]
    assert len(gzip.compress(b"".join(file.read_bytes() for file in files), 9)) <= 12_000


# --- rows


def test_times_and_days_are_those_of_the_business(business: Business, listener: Client) -> None:
    make_call(business, started_at=datetime(2026, 1, 5, 22, 30, tzinfo=UTC))
    words = text(listener.get("/"))
    assert "Tuesday Jan. 6, 2026" in words
    assert "00:30" in words


def test_today_and_yesterday_are_called_so(business: Business, listener: Client) -> None:
    now = timezone.now()
    for age in (0, 1, 2):
        make_call(business, started_at=now - timedelta(days=age))
    words = text(listener.get("/"))
    assert words.index("Today") < words.index("Yesterday")


def test_a_row_shows_who_called_whom_for_how_long(business: Business, listener: Client) -> None:
    make_call(business, from_number="+972541112222", to_number="+97235556666", agent="Noa", duration=3905)
    words = text(listener.get("/"))
    for word in ("+972541112222", "+97235556666", "Noa", "1:05:05", "Inbound"):
        assert word in words


def test_numbers_and_times_stay_left_to_right(business: Business, listener: Client) -> None:
    make_call(business, from_number="+972541112222", duration=65)
    page = source(listener.get("/", headers={"Accept-Language": "he"}))
    assert '<bdi dir="ltr">+972541112222</bdi>' in page
    assert '<bdi dir="ltr">1:05</bdi>' in page


def test_a_call_that_was_not_answered_says_so(business: Business, listener: Client) -> None:
    make_call(business, status="no-answer", duration=None)
    assert "No answer" in text(listener.get("/"))


def test_markup_in_a_row_is_shown_as_it_stands(business: Business, listener: Client) -> None:
    make_call(business, agent="<script>alert(1)</script>", from_number='"><img src=x>')
    page = source(listener.get("/", {"search": "<script>alert(1)</script>"}))
    assert "<script>alert" not in page
    assert "<img" not in page


def test_a_call_without_a_recording_offers_nothing_to_play(business: Business, listener: Client) -> None:
    make_call(business)
    response = listener.get("/")
    assert "No recording" in text(response)
    assert "data-play" not in source(response)


ACTIONS = [
    ({"status": "missing"}, "Not downloaded", "play", "play"),
    ({"status": "queued"}, "Waiting", "play", "play"),
    ({"status": "downloading"}, "Downloading", "play", "play"),
    ({"status": "ready"}, "Ready", "play", "play"),
    ({"status": "failed", "recording_reason": Reason.UNREACHABLE}, "could not be reached", "retry", "retry"),
    ({"status": "failed", "recording_reason": Reason.GONE}, "provider has deleted", "", "force"),
    ({"status": "failed", "recording_reason": Reason.DELETED}, "was deleted", "", ""),
]


@pytest.mark.parametrize(("columns", "words", "of_listener", "of_manager"), ACTIONS)
def test_every_state_has_words_and_the_next_action_of_who_looks(
    business: Business, listener: Client, manager: Client,
    columns: dict[str, Any], words: str, of_listener: str, of_manager: str,
) -> None:  # fmt: skip
    make_recording(business, **columns)
    for client, action in ((listener, of_listener), (manager, of_manager)):
        response = client.get("/")
        assert words in text(response)
        assert f'data-action="{action}"' in source(response)


def test_without_a_script_play_leads_to_the_audio_or_to_the_page_of_the_call(
    business: Business, listener: Client
) -> None:
    ready, missing = make_recording(business, "ready"), make_recording(business)
    page = source(listener.get("/"))
    hrefs = re.findall(r'data-play [^>]*href="([^"]+)"', page)
    assert hrefs == [f"/calls/{missing.call_sid}", f"/api/recordings/{ready.call_sid}/stream"]


def test_a_row_tells_the_scripts_what_they_would_else_ask_for(business: Business, listener: Client) -> None:
    ready = make_recording(business, "ready", recording_version=0xBEEF)
    coming = make_recording(
        business, "failed", recording_reason=Reason.UNREACHABLE, recording_next_retry_at=timezone.now()
    )
    make_recording(business)
    page = source(listener.get("/"))
    assert f'data-version="{version(ready)}"' in page
    assert 'data-duration="1.5"' in page
    rows = re.findall(r'data-call-sid="([^"]+)"([^>]*)>', page)
    assert [sid for sid, rest in rows if "data-coming" in rest] == [coming.call_sid]


def test_the_scripts_are_told_who_plays_and_every_word(manager: Client) -> None:
    page = source(manager.get("/"))
    found = re.search(r'<script id="player-words" type="application/json">(.*?)</script>', page)
    assert found is not None
    told = json.loads(found[1])
    assert told["manager"] is True
    assert set(told["labels"]) == set(RecordingStatus.values)
    assert told["words"]["loading"] == "Loading…"


# --- search, filters, pages


def test_a_number_is_found_by_its_digits(business: Business, listener: Client) -> None:
    wanted = make_call(business, from_number="+972541234567")
    make_call(business, from_number="+972547654321")
    assert sids(listener.get("/", {"search": "054-1234567"})) == [wanted.call_sid]


def test_filters_narrow_the_page_and_stay_in_the_form(business: Business, listener: Client) -> None:
    wanted = make_recording(business, "failed", agent="Noa", direction="outbound")
    make_recording(business, "failed", agent="Noa")
    make_recording(business, "ready", agent="Noa", direction="outbound")
    response = listener.get("/", {"recording": "failed", "agent": "Noa", "direction": "outbound"})
    assert sids(response) == [wanted.call_sid]
    page = source(response)
    for value in ("failed", "Noa", "outbound"):
        assert f'<option value="{value}" selected>' in page
    assert "Show all calls" in page


def test_a_day_of_the_filter_is_a_day_of_the_business(business: Business, listener: Client) -> None:
    wanted = make_call(business, started_at=datetime(2026, 1, 5, 22, 30, tzinfo=UTC))
    make_call(business, started_at=datetime(2026, 1, 5, 21, 30, tzinfo=UTC))
    assert sids(listener.get("/", {"since": "2026-01-06", "until": "2026-01-06"})) == [wanted.call_sid]


def test_an_agent_who_is_not_among_the_newest_calls_stays_chosen(
    business: Business, listener: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "AGENTS_FROM", 1)
    make_call(business, agent="Old")
    make_call(business, agent="New")
    page = source(listener.get("/", {"agent": "Old"}))
    assert '<option value="Old" selected>' in page
    assert '<option value="New">' in page


def test_older_and_newer_lead_through_all_calls_and_keep_the_filters(business: Business, listener: Client) -> None:
    calls = [make_call(business, agent="Dana & Co").call_sid for _ in range(pages.PAGE_SIZE + 5)][::-1]
    make_call(business, agent="Noa")
    first = listener.get("/", {"agent": "Dana & Co"})
    older = link(first, "next")
    assert older is not None
    assert parse_qs(urlsplit(older).query)["agent"] == ["Dana & Co"]
    second = listener.get(f"/{older}")
    assert sids(first) + sids(second) == calls
    assert (link(first, "prev"), link(second, "next")) == (None, None)
    assert sids(listener.get(f"/{link(second, 'prev')}")) == sids(first)


# --- filters that are kept


def test_the_filters_are_kept_until_all_calls_are_shown(business: Business, listener: Client) -> None:
    make_call(business, agent="Noa & Co")
    listener.get("/", {"agent": "Noa & Co", "search": "054", "since": "2026-01-01", "recording": ""})
    response = listener.get("/")
    assert (response.status_code, response["Location"]) == (302, "/?agent=Noa+%26+Co")
    assert listener.get("/", {"search": "054"}).status_code == 200  # other filters: those of before are forgotten
    assert listener.get("/").status_code == 200
    listener.get("/", {"direction": "inbound"})
    assert "?all=1" in source(listener.get("/", {"direction": "inbound"}))
    assert listener.get("/", {"all": "1"})["Location"] == "/"
    assert listener.get("/").status_code == 200


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Purpose": "prefetch"}])
def test_what_another_site_or_a_guess_of_the_browser_chose_is_not_kept(
    business: Business, listener: Client, headers: dict[str, str]
) -> None:
    assert listener.get("/?direction=inbound", headers=headers).status_code == 200
    assert "filters" not in listener.cookies


def test_filters_are_kept_for_their_member_only(business: Business, listener: Client) -> None:
    listener.get("/", {"agent": "Noa"})
    listener.force_login(make_member(business, "other").user)
    assert listener.get("/").status_code == 200


@pytest.mark.parametrize("kept", ["{pk}?direction=sideways", "{pk}?", "{pk}", "?", "{pk}?next=//evil.example", "é\0"])
def test_kept_filters_that_make_no_sense_are_ignored(business: Business, kept: str) -> None:
    member = make_member(business)
    client = client_of(member)
    client.cookies["filters"] = kept.format(pk=member.pk)
    assert client.get("/").status_code == 200


NONSENSE = [
    {"recording": "lost"}, {"direction": "sideways"}, {"since": "yesterday"}, {"until": "2026-99-99"}, {"status": "x"},
    {"updated_since": "never"}, {"search": "a\0b"}, {"search": "x" * 1000}, {"cursor": "nonsense"},
    {"cursor": "é\0"}, {"cursor": "bnVsbA"}, {"since": "9999-12-31", "until": "0001-01-01"},
]  # fmt: skip


@pytest.mark.parametrize("query", NONSENSE, ids=str)
def test_what_makes_no_sense_is_said_on_the_page_and_the_form_is_kept(
    business: Business, listener: Client, query: dict[str, str]
) -> None:
    make_call(business, agent="Noa")
    response = listener.get("/", {**query, "agent": "Noa"})
    assert response.status_code == 400
    page = source(response)
    assert 'role="alert"' in page
    assert '<option value="Noa" selected>' in page
    assert sids(response) == []


def test_a_date_that_makes_no_sense_can_be_read_and_corrected(listener: Client) -> None:
    page = source(listener.get("/", {"since": "yesterday", "until": "2026-01-05"}))
    assert 'name="since" type="text" value="yesterday" aria-invalid="true"' in page
    assert 'name="until" type="date" value="2026-01-05"' in page


def test_a_parameter_that_is_unknown_or_empty_is_ignored(business: Business, listener: Client) -> None:
    call = make_call(business)
    response = listener.get("/", {"utm": "x", "search": "", "recording": "", "since": "", "cursor": ""})
    assert sids(response) == [call.call_sid]
    assert "Show all calls" not in text(response)


def test_an_empty_page_says_what_to_do(business: Business, listener: Client) -> None:
    assert "No calls yet." in text(listener.get("/"))
    make_call(business)
    words = text(listener.get("/", {"search": "zzz"}))
    assert "No call matches." in words
    assert "Show all calls" in words


# --- one call, and asking where no script runs


def test_the_page_of_a_call_shows_its_facts(business: Business, listener: Client) -> None:
    call = make_call(business, from_number="+972541112222", agent="Noa")
    words = text(listener.get(f"/calls/{call.call_sid}"))
    for word in ("+972541112222", "Noa", "Completed", call.call_sid, "No recording"):
        assert word in words


def test_the_page_of_a_call_plays_a_ready_recording_by_itself_and_loads_no_audio(
    business: Business, listener: Client
) -> None:
    row = make_recording(business, "ready")
    page = source(listener.get(f"/calls/{row.call_sid}"))
    assert f'preload="none" src="/api/recordings/{row.call_sid}/stream"' in page


@pytest.mark.parametrize(("moment", "at"), [("192", "192.0"), ("0.5", "0.5"), ("299", "299.0")])
def test_a_link_to_a_moment_opens_the_call_there(business: Business, listener: Client, moment: str, at: str) -> None:
    row = make_recording(business, duration=300)
    assert f'data-at="{at}"' in source(listener.get(f"/calls/{row.call_sid}", {"t": moment}))
    assert f'data-at="{at}"' in source(
        listener.get(f"/calls/{row.call_sid}?t={moment}", headers={"Accept-Language": "he"})
    )


@pytest.mark.parametrize("moment", ["", "0", "-5", "300", "1e2", "nan", "3:12", "٣", "9" * 400, "1 ", "x\0"])
def test_a_moment_that_is_not_in_the_call_is_ignored(business: Business, listener: Client, moment: str) -> None:
    row = make_recording(business, duration=300)
    response = listener.get(f"/calls/{row.call_sid}", {"t": moment})
    assert response.status_code == 200
    assert "data-at" not in source(response)


def test_a_link_to_a_moment_survives_the_login(business: Business) -> None:
    row, member, client = make_recording(business), make_member(business), Client()
    asked = f"/calls/{row.call_sid}?t=192"
    login = client.get(asked)["Location"]
    (after,) = parse_qs(urlsplit(login).query)["next"]
    response = client.post("/login/", {"username": member.user.get_username(), "password": "secret", "next": after})
    assert response["Location"] == asked


def test_asking_on_the_page_of_a_call_queues_once(business: Business, listener: Client) -> None:
    row = make_recording(business)
    for _ in range(2):
        response = listener.post(f"/calls/{row.call_sid}")
        assert (response.status_code, response["Location"]) == (302, f"/calls/{row.call_sid}")
    assert status_of(row) == RecordingStatus.QUEUED
    words = text(listener.get(f"/calls/{row.call_sid}"))
    assert "about to be downloaded" in words
    assert "Look again" in words


def test_asking_takes_a_token_against_other_sites(business: Business) -> None:
    row = make_recording(business)
    client = client_of(make_member(business), enforce_csrf_checks=True)
    response = client.post(f"/calls/{row.call_sid}")
    assert response.status_code == 403
    assert "reload the page and try again" in text(response)
    assert status_of(row) == RecordingStatus.MISSING


def test_only_a_manager_forces_a_permanent_failure(business: Business, listener: Client, manager: Client) -> None:
    row = make_recording(business, "failed", recording_reason=Reason.GONE)
    assert listener.post(f"/calls/{row.call_sid}", {"force": "1"}).status_code == 403
    listener.post(f"/calls/{row.call_sid}")
    assert status_of(row) == RecordingStatus.FAILED
    manager.post(f"/calls/{row.call_sid}", {"force": "1"})
    assert status_of(row) == RecordingStatus.QUEUED


def test_asking_for_a_call_without_a_recording_changes_nothing(business: Business, listener: Client) -> None:
    call = make_call(business)
    assert listener.post(f"/calls/{call.call_sid}").status_code == 302
    assert status_of(call) == RecordingStatus.MISSING


def status_of(row: CallLog | Recording) -> str:
    return CallLog.objects.values_list("recording_download_status", flat=True).get(pk=row.pk)


# --- languages and errors


def test_the_language_is_the_browsers_until_another_is_chosen(business: Business, listener: Client) -> None:
    make_recording(business, "failed", recording_reason=Reason.GONE)
    hebrew = {"Accept-Language": "he-IL,he;q=0.9,en;q=0.5"}
    response = listener.get("/", headers=hebrew)
    assert '<html lang="he" dir="rtl">' in source(response)
    for word in ("שיחות אחרונות", "נכשלה", "הספק מחק את ההקלטה.", "נכנסת"):
        assert word in text(response)
    chosen = listener.post("/language/", {"language": "en", "next": "/?search=1"}, headers=hebrew)
    assert chosen["Location"] == "/?search=1"
    assert '<html lang="en" dir="ltr">' in source(listener.get("/", headers=hebrew))


def test_choosing_a_language_leads_to_no_other_site(listener: Client) -> None:
    assert listener.post("/language/", {"language": "he", "next": "https://evil.example/"})["Location"] == "/"


@pytest.mark.parametrize("language", ["en", "he"])
def test_every_status_and_reason_has_words_in_both_languages(language: str) -> None:
    with translation.override(language):
        words = [str(label) for choices in (RecordingStatus, Reason) for label in choices.labels]
    assert all(bool(re.search("[א-ת]", word)) is (language == "he") for word in words)


@pytest.mark.parametrize("address", ["/nothing", "/calls/", "/calls/%00", "/calls/a%20b", "/calls/" + "x" * 65])
def test_an_address_that_leads_nowhere_is_a_page_in_words(listener: Client, address: str) -> None:
    response = listener.get(address)
    assert response.status_code == 404
    assert "There is nothing here" in text(response)
    assert "Go to Recent calls" in text(response)


def test_a_fault_of_ours_is_a_page_in_words(
    business: Business, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(pages, "paginate", fails)
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "prosaasil.static.HashedStaticFiles"}}
    client = client_of(make_member(business), raise_request_exception=False)
    response = client.get("/")
    assert response.status_code == 500
    assert "Something went wrong here" in text(response)
