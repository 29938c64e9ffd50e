"""Settings of who is told of alarms, from the environment: mail addresses, a mail server, a webhook."""

import ipaddress
import re
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

from prosaasil.environment import text, words, wrong

_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
_TOKEN = re.compile("[!-~]*")


def mail_addresses(name: str) -> list[str]:
    """A comma-separated list of mail addresses."""
    addresses = words(name)
    for address in addresses:
        if not _is_mail_address(address):
            raise wrong(name, address, "a comma-separated list of mail addresses, such as ops@example.org")
    return addresses


def mail_address(name: str, default: str) -> str:
    """One mail address, plain or with a name: prosaasil <calls@example.org>."""
    value = text(name, default)
    if value != default and not _is_mail_address(parseaddr(value)[1]):
        raise wrong(name, value, "a mail address, such as prosaasil@example.org or Calls <calls@example.org>")
    return value


def mail_server(name: str, needed_by: str) -> dict[str, Any]:
    """Django's EMAIL_… settings; EMAIL_HOST is empty when it is unset, which it may be unless `needed_by` is set."""
    value = text(name)
    if not value and text(needed_by):
        raise ImproperlyConfigured(f"{needed_by} needs a mail server: set {name}, such as smtp://localhost:25.")
    if not value:
        return {"EMAIL_HOST": ""}
    scheme = value.partition("://")[0]
    try:
        config = dict(environ.Env.email_url_config(value))
        if scheme not in _PORTS or not config.get("EMAIL_HOST"):
            raise ValueError
    except (ValueError, ImproperlyConfigured):
        may_be = "smtp://host:25, smtp+tls://user:password@host:587 (STARTTLS) or smtp+ssl://user:password@host:465"
        raise wrong(name, _scheme_only(value), may_be) from None  # its words may have the password
    del config["EMAIL_FILE_PATH"]
    config["EMAIL_PORT"] = config["EMAIL_PORT"] or _PORTS[scheme]
    return {setting: "" if found is None else found for setting, found in config.items()}


def webhook(name: str) -> str:
    """An https address, or an http one on this machine; empty when it is unset."""
    value = text(name)
    try:
        parts = urlsplit(value)
        good = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))
        good = good and bool(parts.hostname) and parts.username is None and not parts.fragment
        good = good and parts.port != 0 and bool(_TOKEN.fullmatch(value))
    except ValueError:
        good = False
    if value and not good:
        may_be = "an https address without a user name, or http://127.0.0.1:PORT/…"
        raise wrong(name, _scheme_only(value), may_be)  # addresses of webhooks are often secret
    return value


def token(name: str) -> str:
    """A secret that goes into a header."""
    value = text(name)
    if not _TOKEN.fullmatch(value):
        raise wrong(name, "…", "letters, digits and signs of ASCII, without spaces")
    return value


def _scheme_only(value: str) -> str:
    scheme, mark, _rest = value.partition("://")
    return f"{scheme}://…" if mark else "…"


def _is_mail_address(address: str) -> bool:
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
