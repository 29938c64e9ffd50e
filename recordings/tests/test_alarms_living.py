"""Alarms of a living service, in real time. It takes minutes: LONG=1 ./test recordings/tests/test_alarms_living.py"""

import signal
import threading

import pytest

from conftest import StartService
from demo.service import Service, wait_until
from recordings.tests.listeners import MailServer, mail_server, receiver
from recordings.tests.living import LONG

pytestmark = pytest.mark.skipif(not LONG, reason="takes minutes; LONG=1")
OPERATOR = "ops@example.org"
ACCOUNT = (
    "create_business", "acme", "--name", "Acme", "--provider", "generic", "--base-url", "https://voice.example.com",
    "--hosts", "voice.example.com", "--auth", "none",
)  # fmt: skip


def break_account(service: Service) -> None:
    service.manage(*ACCOUNT)
    service.sql("UPDATE recordings_provideraccount SET broken_since = CURRENT_TIMESTAMP, broken_at = CURRENT_TIMESTAMP")


def test_serve_tells_a_refused_account_once_and_the_all_clear(service: StartService) -> None:
    with mail_server(MailServer()) as mails, receiver() as hook:
        environment = {
            "ALARM_MAIL_TO": OPERATOR, "EMAIL_URL": f"smtp://127.0.0.1:{mails.port}", "ALARM_WEBHOOK": hook.url,
        }  # fmt: skip
        served = service(environment=environment)
        break_account(served)
        wait_until(lambda: mails.mails and hook.posts, 150, "the alarm is told")
        served.sql("UPDATE recordings_provideraccount SET broken_since = NULL, broken_at = NULL")
        wait_until(lambda: len(hook.posts) == 2 and len(mails.mails) == 2, 240, "the all-clear is told")
        assert hook.told == [("account_refused", "raised"), ("account_refused", "cleared")]
        assert served.log().count("An alarm is raised") == served.log().count("An alarm is over") == 1
        assert served.stop() < 10


def test_a_mail_server_that_hangs_does_not_keep_serve_from_stopping(service: StartService) -> None:
    with mail_server(MailServer(silent=threading.Event())) as mails:
        served = service(environment={"ALARM_MAIL_TO": OPERATOR, "EMAIL_URL": f"smtp://127.0.0.1:{mails.port}"})
        break_account(served)
        tried = "SELECT tries FROM recordings_alarmmessage WHERE way = 'mail' AND tries > 0"
        wait_until(lambda: served.sql(tried), 150, "a mail is under way")
        assert served.stop(signal.SIGTERM) < 8
        assert mails.silent is not None
        mails.silent.set()
