"""POST recordings/{call_sid}/download."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from calls.models import PRIORITY_CLICK, Business
from calls.tests.factories import file_of, make_business, make_manager, make_member, make_ready, make_recording
from recordings.models import Recording
from recordings.reasons import GONE_FOR_GOOD, PERMANENT, Reason
from recordings.tests.api import browser_of, problem, program_of, storage  # noqa: F401  (a fixture)
from recordings.tests.rows import bells, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def business() -> Business:
    return make_business()


@pytest.fixture
def listener(business: Business) -> Client:
    return program_of(make_member(business))


@pytest.fixture
def manager(business: Business) -> Client:
    return program_of(make_manager(business))


def ask(client: Client, row: Recording, body: Any = None) -> Any:
    if body is None:
        return client.generic("POST", f"/api/recordings/{row.call_sid}/download")
    return client.post(f"/api/recordings/{row.call_sid}/download", body, "application/json")


def test_a_missing_one_is_queued_once(business: Business, listener: Client) -> None:
    row = make_recording(business)
    first, second = ask(listener, row), ask(listener, row, {})
    assert (first.status_code, first.json()["outcome"]) == (202, "enqueued")
    assert (second.status_code, second.json()["outcome"]) == (202, "under_way")
    for response in (first, second):
        assert response["Location"] == f"/api/recordings/{row.call_sid}/status"
        assert response["Retry-After"] == str(response.json()["retry_after"])
    assert bells() == 1


def test_one_that_waits_behind_a_backfill_is_promoted(business: Business, listener: Client) -> None:
    row = make_recording(business, "queued")
    assert ask(listener, row).json()["outcome"] == "under_way"
    row.refresh_from_db()
    assert row.recording_priority == PRIORITY_CLICK


def test_a_ready_one_is_200(business: Business, listener: Client) -> None:
    response = ask(listener, make_ready(business))
    assert (response.status_code, response.json()["outcome"], response.json()["playable"]) == (200, "ready", True)


def test_a_ready_one_whose_file_is_gone_is_put_right(business: Business, listener: Client) -> None:
    row = make_ready(business)
    file_of(row).unlink()
    response = ask(listener, row)
    assert (response.status_code, response.json()["outcome"]) == (202, "enqueued")


def test_storage_that_is_away_is_503_and_nothing_is_believed_lost(
    business: Business, listener: Client, storage: Path  # noqa: F811
) -> None:  # fmt: skip
    row = make_ready(business)
    shutil.rmtree(storage)
    before = world()
    assert problem(ask(listener, row))["code"] == "storage_away"
    assert world() == before


@pytest.mark.parametrize("retry_in", [60, None])
def test_any_member_beats_a_backoff_and_starts_an_exhausted_one_anew(
    business: Business, listener: Client, retry_in: int | None
) -> None:
    due = retry_in and timezone.now() + timedelta(seconds=retry_in)
    row = make_recording(business, "failed", recording_next_retry_at=due, recording_fail_count=4)
    response = ask(listener, row)
    assert (response.status_code, response.json()["outcome"], response.json()["fail_count"]) == (202, "enqueued", 0)


@pytest.mark.parametrize("reason", sorted(PERMANENT))
def test_a_permanent_failure_stays_unless_a_manager_forces_it(
    business: Business, listener: Client, manager: Client, reason: str
) -> None:
    row = make_recording(business, "failed", recording_reason=reason)
    before = world()
    for client in (listener, manager):
        response = ask(client, row)
        assert response.status_code == (410 if reason in GONE_FOR_GOOD else 409)
        assert problem(response)["recording"]["reason"] == reason
    refused = ask(listener, row, {"force": True})
    assert (refused.status_code, problem(refused)["code"]) == (403, "managers_only")
    assert world() == before
    forced = ask(manager, row, {"force": True})
    if reason == Reason.DELETED:  # a click must not bring it back
        assert forced.status_code == 410
        assert world() == before
    else:
        assert (forced.status_code, forced.json()["outcome"]) == (202, "enqueued")


def test_a_session_needs_its_csrf_token(business: Business) -> None:
    row = make_recording(business)
    browser = browser_of(make_member(business))
    assert problem(ask(browser, row))["code"] == "csrf_failed"
    browser.get("/api/docs/")
    token = browser.cookies["csrftoken"].value
    path = f"/api/recordings/{row.call_sid}/download/"
    response = browser.generic("POST", path, headers={"X-CSRFToken": token})
    assert response.status_code == 202


def test_a_plain_form_may_ask_too(business: Business) -> None:
    row = make_recording(business, "failed", recording_reason="not_audio")
    browser = browser_of(make_manager(business))
    browser.get("/api/docs/")
    form = urlencode({"csrfmiddlewaretoken": browser.cookies["csrftoken"].value, "force": "true"})
    path = f"/api/recordings/{row.call_sid}/download"
    assert browser.post(path, form, "application/x-www-form-urlencoded").status_code == 202


def test_another_businesss_recording_is_404_also_for_a_manager(manager: Client) -> None:
    row = make_recording(make_business(), "failed", recording_reason="gone")
    before = world()
    assert problem(ask(manager, row, {"force": True}))["status"] == 404
    assert world() == before
