"""recordings/alarm_admin.py: what was wrong, and who was told."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from calls.tests.factories import make_manager
from recordings.alarms.looking import look
from recordings.models import Alarm
from recordings.tests.alarming import accept, hook, look_after, refuse, well
from recordings.tests.listeners import Receiver
from recordings.tests.rows import business

__all__ = ["hook", "well"]
pytestmark = [pytest.mark.django_db, pytest.mark.once]
ALARMS = "/admin/recordings/alarm/"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


def text(response: Any) -> str:
    assert response.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_an_alarm_is_listed_with_whose_it_is_and_who_was_told(operator: Client, hook: Receiver) -> None:
    refuse(business("acme").provider_account)
    look()
    assert "0 alarms" in text(operator.get(ALARMS)), "seen but once, it is nobody's alarm"
    look_after(30)
    page = text(operator.get(ALARMS))
    assert "The provider refuses the account" in page
    assert re.search(r"webhook, raised: 20[0-9-]+ +[0-9:]+", page)
    assert "webhook, over" not in page
    accept(business("acme").provider_account)
    look_after(30, 70)
    assert re.search(r"webhook, over: 20[0-9-]+ +[0-9:]+", text(operator.get(ALARMS)))


def test_its_page_says_what_to_do_and_what_could_not_be_sent(operator: Client, hook: Receiver) -> None:
    hook.status = 500
    refuse(business("acme").provider_account)
    look_after(0, 30)
    page = text(operator.get(f"{ALARMS}{Alarm.objects.get().pk}/change/"))
    assert "retry_failed_recordings --business acme" in page
    assert "127.0.0.1 answered 500" in page


def test_nobody_writes_alarms_here(operator: Client) -> None:
    refuse(business("acme").provider_account)
    look_after(0, 30)
    pk = Alarm.objects.get().pk
    assert operator.get(f"{ALARMS}add/").status_code == 403
    assert operator.post(f"{ALARMS}{pk}/change/", {"words": "nothing"}).status_code == 403
    assert operator.post(f"{ALARMS}{pk}/delete/", {"post": "yes"}).status_code == 403
    operator.post(ALARMS, {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    assert Alarm.objects.get().words.startswith("The provider refuses")


def test_the_list_makes_no_query_an_alarm(operator: Client, hook: Receiver) -> None:
    operator.get(ALARMS)  # what is read once a process
    counts = []
    for more in (2, 10):
        for number in range(more):
            refuse(business(f"company-{more}-{number}").provider_account)
        look_after(0, 30)
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(ALARMS).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_manager_does_not_see_it(client: Client) -> None:
    client.force_login(make_manager(business("acme")).user)
    assert client.get(ALARMS).status_code == 302
