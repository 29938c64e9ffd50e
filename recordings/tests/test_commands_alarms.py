"""send_test_alarm and look_for_alarms."""

from pathlib import Path

import pytest
from pytest_django import Settings

from recordings.models import Alarm
from recordings.tests.alarming import OPERATOR, hook, look_after, mail_goes_to, mails, pass_seconds, refuse, well
from recordings.tests.commands import run
from recordings.tests.listeners import MailServer, Receiver, mail_server
from recordings.tests.rows import business

__all__ = ["hook", "mails", "well"]
pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_a_test_alarm_goes_every_way_and_is_written_down_nowhere(mails: MailServer, hook: Receiver) -> None:
    done = run("send_test_alarm")
    assert (done.code, done.out.splitlines()) == (0, [f"mail to {OPERATOR}: sent", "webhook to ALARM_WEBHOOK: sent"])
    [(to, mail)] = mails.mails
    assert (to, mail["Subject"]) == ([OPERATOR], "[prosaasil] test")
    assert "Nothing is wrong" in mail.get_content()
    assert hook.told == [("test", "raised")]
    assert Alarm.objects.count() == 0


def test_a_test_alarm_that_can_not_be_sent_says_why(mails: MailServer, hook: Receiver) -> None:
    hook.status = 404
    done = run("send_test_alarm", "--json")
    assert done.code == 1
    assert done.report["ways"] == [
        {"way": "mail", "to": OPERATOR, "outcome": "sent", "error": None},
        {"way": "webhook", "to": "ALARM_WEBHOOK", "outcome": "not sent", "error": "127.0.0.1 answered 404"},
    ]
    assert "Could not be sent: webhook." in done.err


def test_a_mail_server_that_is_away_is_named(settings: Settings) -> None:
    with mail_server(MailServer()) as gone:
        pass
    mail_goes_to(gone, settings)
    done = run("send_test_alarm")
    assert done.code == 1
    assert f"the mail server 127.0.0.1:{gone.port}: " in done.out
    assert "refused" in done.out


def test_without_a_way_there_is_nothing_to_test() -> None:
    done = run("send_test_alarm")
    assert done.code != 0
    assert "ALARM_MAIL_TO with EMAIL_URL, or ALARM_WEBHOOK" in done.err


def test_a_dry_run_sends_nothing(mails: MailServer, hook: Receiver) -> None:
    done = run("send_test_alarm", "--dry-run")
    assert (done.code, mails.mails, hook.posts) == (0, [], [])
    assert "would be sent" in done.out


def test_one_look_shows_what_is_raised_and_says_it_by_its_exit_status(hook: Receiver) -> None:
    done = run("look_for_alarms")
    assert (done.code, done.out) == (0, "No alarm is raised.\n")
    refuse(business("acme").provider_account)
    assert run("look_for_alarms", "--json").report["seen_once"][0]["alarm"] == "account_refused"
    pass_seconds(30)
    done = run("look_for_alarms", "--json")
    assert done.code == 1
    assert [(each["alarm"], each["business"]) for each in done.report["raised"]] == [("account_refused", "acme")]
    assert hook.told == [("account_refused", "raised")]


def test_silent_workers_are_seen_from_beside_them(hook: Receiver, settings: Settings, tmp_path: Path) -> None:
    settings.RUN_DIR = tmp_path / "nothing"
    look_after(0, 30)
    assert hook.told == [("workers_silent", "raised")]
