"""The ways somebody is told: by mail, by mail to a business's managers, by a webhook. None takes long."""

import http.client
import json
import smtplib
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend
from django.core.validators import validate_email

from calls.models import Member
from recordings.alarms import letters
from recordings.alarms.record import AlarmMessage, Way

TIMEOUT = 5.0
"""Seconds for a connection, and for each answer."""

DEADLINE = 15.0
"""Seconds for all of it: one that sends a byte now and then must not hold up whoever looks."""

Network = Callable[[], None]
"""What is left to do when all has been read from the database: it may be left behind. Raises NotTold."""


class NotTold(Exception):
    """It could not be sent: why, without addresses' secrets. `down`: the way itself fails, so that others would too."""

    def __init__(self, words: str, *, down: bool) -> None:
        super().__init__(words)
        self.down = down


def configured() -> list[Way]:
    """The ways that the settings open."""
    ways = {
        Way.MAIL: bool(settings.ALARM_MAIL_TO),
        Way.MANAGERS: bool(settings.EMAIL_HOST),
        Way.WEBHOOK: bool(settings.ALARM_WEBHOOK),
    }
    return [way for way, is_open in ways.items() if is_open]


def send(message: AlarmMessage) -> None:
    """Tell it. Raises NotTold. A message to managers who have no mail address is told by telling nobody."""
    network = _SENDERS[Way(message.way)](message)
    if network is not None:
        _within_the_deadline(network)


def _within_the_deadline(network: Network) -> None:
    failures: list[NotTold] = []

    def run() -> None:
        try:
            network()
        except NotTold as error:
            failures.append(error)
        except Exception as error:  # an address that no library can read, say: the messages after it are still told
            failures.append(NotTold(f"{type(error).__name__}: it can't be sent as it is", down=False))

    thread = threading.Thread(target=run, name="alarm", daemon=True)
    thread.start()
    thread.join(DEADLINE)
    if thread.is_alive():
        raise NotTold(f"it took longer than {DEADLINE:.0f} s", down=True)
    if failures:
        raise failures[0]


def _mail(message: AlarmMessage) -> Network | None:
    return _mailing(message, settings.ALARM_MAIL_TO)


def _managers(message: AlarmMessage) -> Network | None:
    managers = Member.objects.filter(
        business=message.alarm.business_id, role=Member.Role.MANAGER, user__is_active=True
    ).exclude(user__email="")
    addresses = [
        address for address in managers.order_by("pk").values_list("user__email", flat=True) if _is_one(address)
    ]
    return _mailing(message, addresses) if addresses else None


def _is_one(address: str) -> bool:
    """One that is none would keep the mail from all the others."""
    with suppress(ValidationError):
        validate_email(address)
        return True
    return False


def _mailing(message: AlarmMessage, to: list[str]) -> Network:
    host = urlsplit(settings.PUBLIC_URL).hostname
    headers = {
        "Message-ID": f"<{letters.identity(message)}-{message.way}@{host}>",  # the same when it comes a second time
        "Auto-Submitted": "auto-generated",  # nobody's absence is to be announced to us
    }
    # The server itself, whatever backend other mail goes through.
    backend = EmailBackend(timeout=TIMEOUT)
    mail = EmailMessage(
        letters.subject(message), letters.body(message), settings.ALARM_MAIL_FROM, to, headers=headers,
        connection=backend,
    )  # fmt: skip

    def network() -> None:
        try:
            mail.send()
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError, ValueError) as error:
            raise NotTold(_mail_words(error), down=False) from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotTold(_mail_words(error), down=True) from None

    return network


def _mail_words(error: Exception) -> str:
    at = f"the mail server {settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):  # its words have the addresses
        return (
            f"{at} takes none of the recipients ({', '.join(sorted({str(no) for no, _ in error.recipients.values()}))})"
        )
    return f"{at}: {str(error) or type(error).__name__}"


def _webhook(message: AlarmMessage) -> Network:
    parts = urlsplit(settings.ALARM_WEBHOOK)
    headers = {"Content-Type": "application/json", "User-Agent": "prosaasil"}
    if settings.ALARM_WEBHOOK_TOKEN:
        headers["Authorization"] = f"Bearer {settings.ALARM_WEBHOOK_TOKEN}"
    body = json.dumps(letters.payload(message), ensure_ascii=False).encode()

    def network() -> None:
        connection = _connection(parts.scheme, parts.hostname or "", parts.port)
        try:
            connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise NotTold(f"{parts.hostname}: {str(error) or type(error).__name__}", down=True) from error
        finally:
            connection.close()
        if not 200 <= status < 300:  # redirects are not followed: the token is for this address
            raise NotTold(f"{parts.hostname} answered {status}", down=status >= 500 or status == 429)

    return network


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT)  # loopback, says environment.webhook


_SENDERS: dict[Way, Callable[[AlarmMessage], Network | None]] = {
    Way.MAIL: _mail,
    Way.MANAGERS: _managers,
    Way.WEBHOOK: _webhook,
}
