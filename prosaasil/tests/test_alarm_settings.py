"""prosaasil/alarm_settings.py: who is told, and what stops the start."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from prosaasil import alarm_settings


def test_a_list_of_mail_addresses_may_have_spaces_and_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALARM_MAIL_TO", "ops@example.org, night@example.org,")
    assert alarm_settings.mail_addresses("ALARM_MAIL_TO") == ["ops@example.org", "night@example.org"]
    monkeypatch.delenv("ALARM_MAIL_TO")
    assert alarm_settings.mail_addresses("ALARM_MAIL_TO") == []


@pytest.mark.parametrize("value", ["ops", "ops@example.org night@example.org", "Ops <ops@example.org>", "a@b@c.org"])
def test_what_is_no_mail_address_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALARM_MAIL_TO", value)
    with pytest.raises(ImproperlyConfigured, match=r"ALARM_MAIL_TO.*comma-separated list of mail addresses"):
        alarm_settings.mail_addresses("ALARM_MAIL_TO")


@pytest.mark.parametrize("value", ["calls@example.org", "Calls <calls@example.org>"])
def test_the_sender_may_have_a_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALARM_MAIL_FROM", value)
    assert alarm_settings.mail_address("ALARM_MAIL_FROM", "prosaasil@localhost") == value
    monkeypatch.setenv("ALARM_MAIL_FROM", "nobody")
    with pytest.raises(ImproperlyConfigured, match="ALARM_MAIL_FROM"):
        alarm_settings.mail_address("ALARM_MAIL_FROM", "prosaasil@localhost")


@pytest.mark.parametrize(("value", "server"), [
    ("", {"EMAIL_HOST": ""}),
    ("smtp://localhost", {"EMAIL_HOST": "localhost", "EMAIL_PORT": 25}),
    ("smtp+tls://u:p%40@mail.example", {"EMAIL_HOST": "mail.example", "EMAIL_PORT": 587, "EMAIL_USE_TLS": True,
                                         "EMAIL_HOST_USER": "u", "EMAIL_HOST_PASSWORD": "p@"}),
    ("smtp+ssl://mail.example:4650", {"EMAIL_HOST": "mail.example", "EMAIL_PORT": 4650, "EMAIL_USE_SSL": True}),
])  # fmt: skip
def test_a_mail_server_s_address_gives_django_its_settings(
    monkeypatch: pytest.MonkeyPatch, value: str, server: dict[str, object]
) -> None:
    monkeypatch.setenv("EMAIL_URL", value)
    assert server.items() <= alarm_settings.mail_server("EMAIL_URL", needed_by="ALARM_MAIL_TO").items()


@pytest.mark.parametrize(
    "value", ["user:hunter2@mail.example:25", "smtp://", "consolemail://", "http://mail.example", "smtp://h:x"]
)
def test_what_is_no_mail_server_stops_the_start_and_its_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("EMAIL_URL", value.replace("://", "://user:hunter2@"))
    with pytest.raises(ImproperlyConfigured, match=r"EMAIL_URL.*smtp\+tls://") as error:
        alarm_settings.mail_server("EMAIL_URL", needed_by="ALARM_MAIL_TO")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("value", [
    "https://hooks.example.org/T1/secret?x=1", "http://127.0.0.1:9000/alarms", "http://[::1]:9000/", "http://localhost/a",
])  # fmt: skip
def test_a_webhook_is_https_or_on_this_machine(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALARM_WEBHOOK", value)
    assert alarm_settings.webhook("ALARM_WEBHOOK") == value


@pytest.mark.parametrize("value", [
    "http://hooks.example.org/secret", "http://10.0.0.1/secret", "hooks.example.org/secret", "https:///secret",
    "https://user:secret@hooks.example.org/", "ftp://hooks.example.org/secret", "https://hooks.example.org:x/secret",
    "https://hooks.example.org/secret#part", "https://hooks.example.org/a secret",
])  # fmt: skip
def test_another_webhook_stops_the_start_and_is_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALARM_WEBHOOK", value)
    with pytest.raises(ImproperlyConfigured, match=r"ALARM_WEBHOOK.*an https address") as error:
        alarm_settings.webhook("ALARM_WEBHOOK")
    assert "secret" not in str(error.value)


def test_a_token_that_no_header_can_carry_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALARM_WEBHOOK_TOKEN", "two words")
    with pytest.raises(ImproperlyConfigured, match="ALARM_WEBHOOK_TOKEN") as error:
        alarm_settings.token("ALARM_WEBHOOK_TOKEN")
    assert "two words" not in str(error.value)


def test_who_is_to_get_mail_needs_a_mail_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALARM_MAIL_TO", "ops@example.org")
    with pytest.raises(ImproperlyConfigured, match="ALARM_MAIL_TO needs a mail server: set EMAIL_URL"):
        alarm_settings.mail_server("EMAIL_URL", needed_by="ALARM_MAIL_TO")
