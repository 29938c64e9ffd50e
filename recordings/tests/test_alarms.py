"""recordings/alarms/: told once, then the all-clear, whoever looks and whatever fails meanwhile."""

import logging
import threading
from typing import Any

import pytest
from pytest_django import Settings

from calls.clock import now
from calls.models import Business
from calls.tests.factories import make_manager, make_member
from recordings.alarms import ways
from recordings.alarms.looking import look
from recordings.alarms.record import GIVEN_UP_AFTER, AlarmMessageQuerySet
from recordings.models import Alarm, AlarmMessage, ProviderAccount
from recordings.tests.alarming import (
    OPERATOR,
    accept,
    hook,
    look_after,
    mail_goes_to,
    mails,
    pass_seconds,
    refuse,
    well,
)
from recordings.tests.listeners import MailServer, Receiver, mail_server
from recordings.tests.races import in_processes, race
from recordings.tests.rows import business

__all__ = ["hook", "mails", "well"]
pytestmark = pytest.mark.django_db
RAISED, CLEARED = ("account_refused", "raised"), ("account_refused", "cleared")


@pytest.fixture
def account() -> ProviderAccount:
    return business("acme").provider_account


# --- once, then the all-clear


def test_an_alarm_is_told_once_in_each_way_and_then_the_all_clear(
    account: ProviderAccount, mails: MailServer, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="recordings")
    refuse(account)
    look_after(0, 30, 30, 30)
    assert hook.told == [RAISED]
    assert mails.subjects == ["[prosaasil] The provider refuses the account: Acme"]
    accept(account)
    look_after(30, 30, 40, 30, 30)
    assert hook.told == [RAISED, CLEARED]
    assert mails.subjects[1:] == ["[prosaasil] Over: The provider refuses the account: Acme"]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "An alarm is raised"), ("INFO", "An alarm is over"),
    ]  # fmt: skip


@pytest.mark.once
def test_what_was_over_and_comes_back_is_told_again(account: ProviderAccount, hook: Receiver) -> None:
    for _ in range(2):
        refuse(account)
        look_after(0, 30)
        accept(account)
        look_after(30, 70)
    assert hook.told == [RAISED, CLEARED, RAISED, CLEARED]


@pytest.mark.once
def test_without_any_setting_there_is_one_line_in_the_log_for_each(
    account: ProviderAccount, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="recordings")
    refuse(account)
    look_after(0, 30, 30)
    accept(account)
    look_after(30, 70, 30)
    raised, cleared = caplog.records
    assert (raised.levelname, raised.getMessage()) == ("WARNING", "An alarm is raised")
    assert (raised.action, raised.alarm, raised.business) == (  # type: ignore[attr-defined]
        "alarm_raised", "account_refused", account.business_id,
    )  # fmt: skip
    assert "retry_failed_recordings --business acme" in raised.do  # type: ignore[attr-defined]
    assert (cleared.levelname, cleared.getMessage()) == ("INFO", "An alarm is over")
    assert AlarmMessage.objects.count() == 0


@pytest.mark.once
def test_alarms_of_two_businesses_are_two(account: ProviderAccount, hook: Receiver) -> None:
    refuse(account)
    refuse(business("beta").provider_account)
    look_after(0, 30)
    assert sorted(body["business"] for _, _, body in hook.posts) == ["acme", "beta"]
    accept(account)
    look_after(30, 70)
    assert [(body["business"], body["state"]) for _, _, body in hook.posts[2:]] == [("acme", "cleared")]


# --- flapping


def test_what_is_wrong_at_one_look_only_is_nobody_s_alarm(account: ProviderAccount, hook: Receiver) -> None:
    for _ in range(5):
        refuse(account)
        look_after(30)
        accept(account)
        look_after(30)
    assert hook.told == []


def test_what_is_well_at_one_look_only_is_not_over(account: ProviderAccount, hook: Receiver) -> None:
    refuse(account)
    look_after(0, 30)
    for _ in range(5):
        accept(account)
        look_after(30)
        refuse(account)
        look_after(30)
    assert hook.told == [RAISED]


@pytest.mark.once
def test_two_looks_at_the_same_moment_count_as_one(account: ProviderAccount, hook: Receiver) -> None:
    refuse(account)
    look_after(0, 1, 1)
    assert hook.told == []


def test_what_was_seen_before_nobody_looked_for_long_does_not_count(account: ProviderAccount, hook: Receiver) -> None:
    refuse(account)
    look_after(0, 600)
    assert hook.told == [], "as after a restart: it is seen for the first time"
    look_after(30)
    assert hook.told == [RAISED]


def test_a_look_that_waited_for_anothers_lock_does_not_begin_the_wait_anew(
    account: ProviderAccount, hook: Receiver
) -> None:
    """Its statement began before the other's, whose time it then finds ahead of its own."""
    refuse(account)
    look_after(0)
    pass_seconds(30)
    Alarm.objects.update(looked_at=now(1))
    look()
    assert hook.told == [RAISED]


def test_a_clock_that_was_wrong_holds_no_alarm_back(account: ProviderAccount, hook: Receiver) -> None:
    refuse(account)
    look_after(-3600, 3600)
    Alarm.objects.update(first_seen_at=now(3600), looked_at=now(3600))
    look_after(0, 30)
    assert hook.told == [RAISED]


# --- many that look at once

LOOKER = """
from recordings.alarms.looking import look
print("ready", flush=True)
input()
look()
"""


@pytest.mark.django_db(transaction=True)
def test_of_processes_that_look_at_once_one_tells(
    account: ProviderAccount, mails: MailServer, hook: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {
        "ALARM_WEBHOOK": hook.url, "ALARM_MAIL_TO": OPERATOR, "EMAIL_URL": f"smtp://127.0.0.1:{mails.port}",
        "RECORDINGS_ROOT": str(settings.RECORDINGS_ROOT),
    }  # fmt: skip
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    refuse(account)
    look_after(0)
    pass_seconds(30)
    in_processes(LOOKER, [()] * 2)
    assert hook.told == [RAISED]
    assert len(mails.mails) == 1
    assert Alarm.objects.filter(name="account_refused").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_looks_at_the_same_moment_one_opens_one_raises_and_one_clears(
    account: ProviderAccount, mails: MailServer, hook: Receiver
) -> None:
    refuse(account)
    race(*[look] * 6)
    pass_seconds(30)
    race(*[look] * 6)
    assert (hook.told, len(mails.mails)) == ([RAISED], 1)
    accept(account)
    race(*[look] * 6)
    pass_seconds(70)
    race(*[look] * 6)
    assert (hook.told, len(mails.mails)) == ([RAISED, CLEARED], 2)
    assert Alarm.objects.count() == 1


def test_what_a_terminal_without_the_services_settings_raised_is_told_at_the_next_look(
    account: ProviderAccount, hook: Receiver, settings: Settings
) -> None:
    url, settings.ALARM_WEBHOOK = settings.ALARM_WEBHOOK, ""
    refuse(account)
    look_after(0, 30)
    assert (Alarm.objects.raised().count(), hook.told) == (1, [])
    settings.ALARM_WEBHOOK = url
    look_after(10, 30)
    assert hook.told == [RAISED]
    accept(account)
    look_after(30, 70, 30)
    assert hook.told == [RAISED, CLEARED]


# --- what could not be sent


def test_a_mail_server_that_was_down_is_tried_again_and_told_of_once(
    account: ProviderAccount, hook: Receiver, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with mail_server(MailServer()) as mails:
        pass  # the port is known, and nobody listens
    mail_goes_to(mails, settings)
    refuse(account)
    look_after(0, 30, 30, 60, 300)
    assert hook.told == [RAISED], "the other way is not held up"
    failed = [
        record for record in caplog.records if record.levelname == "WARNING" and "could not" in record.getMessage()
    ]
    assert [record.way for record in failed] == ["mail"]  # type: ignore[attr-defined]
    assert "refused" in failed[0].error  # type: ignore[attr-defined]
    with mail_server(mails):
        look_after(900, 30)
    assert len(mails.mails) == 1
    assert AlarmMessage.objects.unsent().count() == 0


def test_what_was_over_before_it_could_be_told_is_told_in_its_order(
    account: ProviderAccount, settings: Settings
) -> None:
    with mail_server(MailServer()) as mails:
        pass
    mail_goes_to(mails, settings)
    refuse(account)
    look_after(0, 30, 30, 60, 300)  # the next try is in 15 minutes
    accept(account)
    look_after(30)
    with mail_server(mails):
        look_after(70, 30)
        assert (Alarm.objects.open().count(), mails.subjects) == (0, []), "no all-clear of what nobody was told of"
        look_after(900, 30)
    about = "The provider refuses the account: Acme"
    assert mails.subjects == [f"[prosaasil] {about}", f"[prosaasil] Over: {about}"]


@pytest.mark.once
def test_a_way_that_does_not_answer_is_tried_once_a_look(hook: Receiver) -> None:
    for slug in ("acme", "beta", "gamma"):
        refuse(business(slug).provider_account)
    hook.status = 503
    look_after(0, 30)
    assert len(hook.posts) == 1
    hook.status = 204
    look_after(30)
    assert sorted(body["business"] for _, _, body in hook.posts[1:]) == ["acme", "beta", "gamma"]


@pytest.mark.once
def test_a_recipient_that_is_refused_holds_nobody_else_up(account: ProviderAccount, mails: MailServer) -> None:
    for company, address in ((account.business, "gone@example.org"), (business("beta"), "here@example.org")):
        manager = make_manager(company)
        manager.user.email = address
        manager.user.save()
        refuse(company.provider_account)
    mails.refused = {"gone@example.org"}
    look_after(0, 30)
    assert sorted(to for to, _ in mails.mails) == [["here@example.org"], [OPERATOR], [OPERATOR]]


def test_after_a_day_it_is_given_up_with_one_line(
    account: ProviderAccount, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hook.status = 500
    refuse(account)
    look_after(0, 30)
    AlarmMessage.objects.update(created_at=now(-GIVEN_UP_AFTER - 1))
    look_after(30, 30)
    tried = len(hook.posts)
    look_after(900)
    assert len(hook.posts) == tried
    assert [record.levelname for record in caplog.records if "given up" in record.getMessage()] == ["ERROR"]


def test_a_crash_between_sending_and_writing_sends_a_second_time_and_no_third(
    account: ProviderAccount, mails: MailServer, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(account)
    look_after(0)
    pass_seconds(30)

    def die(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as crashing:
        crashing.setattr(AlarmMessageQuerySet, "sent", die)
        with pytest.raises(SystemExit):
            look()
    look_after(30)
    assert len(mails.mails) == 1, "it belongs to the one that died, for a while"
    look_after(100, 900, 900)
    assert len(mails.mails) == 2
    assert len({str(mail["Message-ID"]) for _, mail in mails.mails}) == 1, "mail programs show it once"
    assert hook.told == [RAISED]


# --- who is told what


@pytest.mark.once
def test_a_refused_account_is_told_to_the_managers_of_that_business_in_words_for_them(
    account: ProviderAccount, mails: MailServer, settings: Settings
) -> None:
    settings.ALARM_MAIL_TO = []
    people = {
        "manager@acme.example": make_manager(account.business), "listener@acme.example": make_member(account.business),
        "manager@beta.example": make_manager(business("beta")), "": make_manager(account.business),
        "left@acme.example": make_manager(account.business),
    }  # fmt: skip
    for address, member in people.items():
        member.user.email = address
        member.user.is_active = not address.startswith("left")
        member.user.save()
    refuse(account)
    look_after(0, 30, 30)
    [(to, mail)] = mails.mails
    text = mail.get_content()
    assert to == ["manager@acme.example"]
    assert "The provider refuses the credentials of Acme" in text
    assert "credentials of your account at the provider" in text
    assert "manage.py" not in text
    assert "/admin/" not in text


@pytest.mark.once
def test_a_mail_says_what_what_to_do_and_since_when_and_asks_for_no_answer(
    account: ProviderAccount, mails: MailServer, settings: Settings
) -> None:
    refuse(account)
    look_after(0, 30)
    [(to, mail)] = mails.mails
    text = mail.get_content()
    account.refresh_from_db()
    assert to == [OPERATOR]
    assert mail["From"] == settings.ALARM_MAIL_FROM
    assert mail["Auto-Submitted"] == "auto-generated"
    assert f"Since: {account.broken_since:%Y-%m-%d %H:%M} UTC" in text
    assert "retry_failed_recordings --business acme --reason unauthorised" in text
    assert f"{settings.PUBLIC_URL}/admin/recordings/alarm/{Alarm.objects.get().pk}/change/" in text


@pytest.mark.once
def test_a_business_s_name_makes_no_header(account: ProviderAccount, mails: MailServer) -> None:
    Business.objects.update(name="Acme\r\nBcc: everybody@example.org")
    refuse(account)
    look_after(0, 30)
    [(to, mail)] = mails.mails
    assert to == [OPERATOR]
    assert mail["Bcc"] is None
    assert mail["Subject"].endswith("Acme Bcc: everybody@example.org")


@pytest.mark.once
def test_a_webhook_gets_json_with_the_token_and_is_followed_nowhere(
    account: ProviderAccount, hook: Receiver, settings: Settings
) -> None:
    settings.ALARM_WEBHOOK, settings.ALARM_WEBHOOK_TOKEN = f"{hook.url}?key=1", "s3cret"
    hook.status = 307
    refuse(account)
    look_after(0, 30)
    [(path, headers, body)] = hook.posts
    alarm = Alarm.objects.get()
    account.refresh_from_db()
    assert path == "/alarms?key=1"
    assert (headers["authorization"], headers["content-type"]) == ("Bearer s3cret", "application/json")
    assert account.broken_since is not None
    assert body == {
        "id": f"{alarm.key}-raised",
        "alarm": "account_refused", "state": "raised", "business": "acme", "words": alarm.words, "do": alarm.do,
        "since": account.broken_since.isoformat().replace("+00:00", "Z"),
        "url": f"{settings.PUBLIC_URL}/admin/recordings/alarm/{alarm.pk}/change/",
    }  # fmt: skip
    assert AlarmMessage.objects.get().error == "127.0.0.1 answered 307"


@pytest.mark.once
def test_alarms_are_in_the_language_of_the_settings(
    account: ProviderAccount, mails: MailServer, settings: Settings
) -> None:
    settings.LANGUAGE_CODE = "he"
    refuse(account)
    look_after(0, 30)
    [(_, mail)] = mails.mails
    assert mail["Subject"].strip() == "[prosaasil] הספק מסרב לחשבון: Acme"
    assert "הספק מסרב לפרטי הגישה של Acme" in mail.get_content()


@pytest.mark.once
def test_who_was_not_told_of_an_alarm_is_not_told_that_it_is_over(
    account: ProviderAccount, hook: Receiver, mails: MailServer, settings: Settings
) -> None:
    settings.ALARM_MAIL_TO = []
    refuse(account)
    look_after(0, 30)
    settings.ALARM_MAIL_TO = [OPERATOR]
    accept(account)
    look_after(30, 70)
    assert (hook.told, mails.mails) == ([RAISED, CLEARED], [])


@pytest.mark.once
def test_a_service_that_is_well_writes_nothing(hook: Receiver, django_assert_max_num_queries: Any) -> None:
    business("acme")
    with django_assert_max_num_queries(5) as queries:
        look()
    assert [query["sql"] for query in queries if not query["sql"].lstrip().startswith(("SELECT", "WITH"))] == []


@pytest.mark.once
def test_what_ended_long_ago_is_forgotten(account: ProviderAccount, hook: Receiver) -> None:
    refuse(account)
    look_after(0, 30)
    accept(account)
    look_after(30, 70)
    assert Alarm.objects.count() == 1
    pass_seconds(91 * 86_400)
    refuse(account)
    look_after(0)
    accept(account)
    look_after(30)
    assert [alarm.raised_at for alarm in Alarm.objects.all()] == [None]


@pytest.mark.once
def test_a_mail_server_that_says_nothing_is_given_a_few_seconds(
    account: ProviderAccount, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ways.TIMEOUT == 5.0
    monkeypatch.setattr(ways, "TIMEOUT", 0.2)
    mails.silent = threading.Event()
    refuse(account)
    look_after(0, 30)
    mails.silent.set()
    assert "timed out" in AlarmMessage.objects.get(way="mail").error


@pytest.mark.once
def test_one_that_is_slow_in_each_of_its_answers_is_left_at_the_deadline_of_all(
    account: ProviderAccount, mails: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ways.DEADLINE == 15.0
    monkeypatch.setattr(ways, "DEADLINE", 0.2)
    mails.silent = threading.Event()
    refuse(account)
    look_after(0, 30)
    mails.silent.set()
    assert "took longer than" in AlarmMessage.objects.get(way="mail").error


@pytest.mark.once
def test_an_address_that_is_none_keeps_nothing_from_the_others(
    account: ProviderAccount, hook: Receiver, mails: MailServer, settings: Any
) -> None:
    for address in ("no address", "here@example.org"):
        manager = make_manager(account.business)
        manager.user.email = address
        manager.user.save()
    settings.ALARM_WEBHOOK = "https://a..b/x"
    refuse(account)
    look_after(0, 30)
    assert sorted(to for to, _ in mails.mails) == [["here@example.org"], [OPERATOR]]
    assert "can't be sent as it is" in AlarmMessage.objects.get(way="webhook").error
