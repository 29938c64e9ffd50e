"""For tests of alarms: a service that is well, a mail server and a receiver of webhooks, and time that passes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from recordings import bell
from recordings.alarms.looking import look
from recordings.models import Alarm, AlarmMessage, ProviderAccount
from recordings.storage import default_storage
from recordings.tests.listeners import MailServer, Receiver, mail_server, receiver
from recordings.tests.rows import older

OPERATOR = "ops@example.org"


@pytest.fixture(autouse=True)
def well(settings: Settings, tmp_path: Path) -> None:
    """Storage and workers are well, and nobody is told unless a fixture says so."""
    settings.RUN_DIR = tmp_path
    settings.RECORDINGS_ROOT = tmp_path / "recordings"
    settings.RECORDINGS_MIN_FREE_BYTES = 0
    default_storage().prepare()
    bell.sign_of_life().touch()


@pytest.fixture
def mails(settings: Settings) -> Iterator[MailServer]:
    """The operator has a mailbox."""
    with mail_server(MailServer()) as facts:
        mail_goes_to(facts, settings)
        yield facts


@pytest.fixture
def hook(settings: Settings) -> Iterator[Receiver]:
    """A webhook is set."""
    with receiver() as facts:
        settings.ALARM_WEBHOOK = facts.url
        yield facts


def mail_goes_to(facts: MailServer, settings: Settings) -> None:
    """This is the mail server of the settings, whether it runs or not."""
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.ALARM_MAIL_TO = "127.0.0.1", facts.port, [OPERATOR]


def pass_seconds(seconds: float) -> None:
    """Time passes for what alarms remember; the workers go on giving signs of life."""
    older(Alarm, seconds)
    older(AlarmMessage, seconds)
    if bell.sign_of_life().exists():
        os.utime(bell.sign_of_life())


def look_after(*pauses: float) -> None:
    """Look after each of these many seconds."""
    for pause in pauses:
        pass_seconds(pause)
        look()


def refuse(account: ProviderAccount) -> None:
    """The provider answers 401."""
    ProviderAccount.objects.refused(account)


def accept(account: ProviderAccount) -> None:
    """The provider answers 200."""
    ProviderAccount.objects.accepted(account)
