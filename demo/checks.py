"""Demo logins have public passwords: they are for this machine only."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.core.checks import CheckMessage, Error, register
from django.db import Error as DatabaseTrouble

from demo.data import COMPANIES, OPERATOR, PROGRAM

LOGINS = (OPERATOR, PROGRAM, *(user for company in COMPANIES for user in (company.manager, company.listener)))


def is_loopback(bind: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    try:
        return bind == "localhost" or ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return False


def reached_from_elsewhere() -> str:
    """The setting by which other machines reach this service, as it is set; "" where only this one does."""
    for name, host in (("BIND", settings.BIND), ("PUBLIC_URL", urlsplit(settings.PUBLIC_URL).hostname or "")):
        if not is_loopback(host):
            return f"{name}={getattr(settings, name)}"
    return f"RECORDINGS_ACCEL={settings.RECORDINGS_ACCEL}" if settings.RECORDINGS_ACCEL else ""


@register()
def no_demo_logins_in_public(**kwargs: Any) -> list[CheckMessage]:
    """An error where the service is to be reached from elsewhere and demo logins are still good."""
    elsewhere = reached_from_elsewhere()
    if not elsewhere:
        return []
    try:
        found = list(User.objects.filter(username__in=LOGINS, is_active=True).values_list("username", flat=True))
    except DatabaseTrouble:
        return []  # no database yet, so no logins
    if not found:
        return []
    hint = f"Delete them in the admin without {elsewhere.partition('=')[0]}, or set PROSAASIL_VAR to another folder."
    words = f"{elsewhere}, and demo logins have public passwords: {', '.join(found)}."
    return [Error(words, hint=hint, id="demo.E001")]
