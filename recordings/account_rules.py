"""What a provider account may say about where recordings are fetched from. Each rule raises ValidationError."""

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}|\[[0-9a-f:.]+\]")
_HTTPS_PORT = 443
_SECRET_ENV = re.compile(r"(?!.*SECRET_KEY\Z)[A-Z][A-Z0-9_]*_(?:SECRET|TOKEN|KEY)")


def check_base_url(text: str) -> None:
    """https on port 443, or a host and port that RECORDINGS_ALLOW_PRIVATE_HOSTS names; no query, no user name."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(_bracketed(host)):
        raise ValidationError(_("The base address must be one such as https://api.example.com."))
    if parts.username is not None or parts.query or parts.fragment:
        raise ValidationError(_("The base address must have no user name, no query and no fragment."))
    at = f"{_bracketed(host)}:{port or (_HTTPS_PORT if parts.scheme == 'https' else 80)}"
    if (
        parts.scheme != "https" or not at.endswith(f":{_HTTPS_PORT}")
    ) and at not in settings.RECORDINGS_ALLOW_PRIVATE_HOSTS:
        words = _("The base address must be https on port 443, unless RECORDINGS_ALLOW_PRIVATE_HOSTS names %(at)s.")
        raise ValidationError(words, params={"at": at})


def check_hosts(text: str) -> None:
    """Comma-separated, host or host:port; another port than 443 only where RECORDINGS_ALLOW_PRIVATE_HOSTS names it."""
    entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise ValidationError(_("Name at least one host that recordings may be fetched from."))
    for entry in entries:
        host, colon, port = entry.rpartition(":") if re.search(r":[0-9]*\Z", entry) else (entry, "", "")
        if not _HOST.fullmatch(host) or (colon and not (port and 0 < int(port[:6]) < 65536)):
            words = _("“%(entry)s” is not a host. Write host or host:port, separated by commas, without https://.")
            raise ValidationError(words, params={"entry": entry})
        if colon and int(port) != _HTTPS_PORT and entry not in settings.RECORDINGS_ALLOW_PRIVATE_HOSTS:
            words = _("“%(entry)s”: only port 443 is allowed, unless RECORDINGS_ALLOW_PRIVATE_HOSTS names it.")
            raise ValidationError(words, params={"entry": entry})


def check_secret_env(name: str) -> None:
    """None, or a variable that was meant for this: not our own SECRET_KEY or DATABASE_URL, which must go nowhere."""
    if name and not _SECRET_ENV.fullmatch(name):
        words = _(
            "The secret's variable takes the name of an environment variable, not the secret itself: in capitals, "
            "ending in _SECRET, _TOKEN or _KEY (but not in SECRET_KEY), such as ACME_SECRET."
        )
        raise ValidationError(words)


def names_its_own_host(base_url: str, hosts: str) -> bool:
    """Whether the base address is on one of the hosts. Otherwise nothing that it gives can be fetched."""
    parts = urlsplit(base_url)
    host = _bracketed(parts.hostname or "")
    port = parts.port or (_HTTPS_PORT if parts.scheme == "https" else 80)
    wanted = {f"{host}:{port}"} | ({host} if port == _HTTPS_PORT else set())
    return bool(wanted & {entry.strip().lower() for entry in hosts.split(",")})


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
