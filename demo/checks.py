"""Demo logins have public passwords: they are for this machine only."""

import ipaddress
from typing import Any

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


@register()
def no_demo_logins_in_public(**kwargs: Any) -> list[CheckMessage]:
    """An error where the service is to be reached from elsewhere and demo logins are still good."""
    if is_loopback(settings.BIND):
        return []
    try:
        found = list(User.objects.filter(username__in=LOGINS, is_active=True).values_list("username", flat=True))
    except DatabaseTrouble:
        return []  # no database yet, so no logins
    if not found:
        return []
    hint = "Delete them in the admin with BIND=127.0.0.1, or set PROSAASIL_VAR to another folder."
    words = f"BIND={settings.BIND}, and demo logins have public passwords: {', '.join(found)}."
    return [Error(words, hint=hint, id="demo.E001")]
