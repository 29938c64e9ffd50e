"""Typed values from the environment. A wrong one stops the start with its name and what it may be."""

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

_PREFIX = re.compile("/([A-Za-z0-9_-]+/)+")


def wrong(name: str, value: str, may_be: str) -> ImproperlyConfigured:
    """The error that stops the start."""
    return ImproperlyConfigured(f"{name}={value!r} can't be used. It may be {may_be}.")


def text(name: str, default: str = "") -> str:
    """The value as it stands, stripped; an empty value counts as unset."""
    return os.environ.get(name, "").strip() or default


def choice(name: str, default: str, *choices: str) -> str:
    """One of `choices`."""
    value = text(name, default)
    if value not in choices:
        raise wrong(name, value, "one of " + ", ".join(choices))
    return value


def boolean(name: str, default: bool) -> bool:
    """1/0, true/false, yes/no or on/off, in any case."""
    value = text(name, "1" if default else "0")
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in known:
        raise wrong(name, value, "1 or 0")
    return known[value.lower()]


def integer(name: str, default: int, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise wrong(name, value, f"a whole number from {low} to {high}")
    return number


def hosts(name: str) -> frozenset[str]:
    """A comma-separated list of host:port."""
    entries = [entry.strip().lower() for entry in text(name).split(",") if entry.strip()]
    for entry in entries:
        host, _, port = entry.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise wrong(name, entry, "a comma-separated list of host:port")
    return frozenset(entries)


def words(name: str) -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text(name).split(",") if word.strip()]


def token(name: str) -> str:
    """A secret that nobody guesses, at least 16 characters; empty when unset."""
    value = text(name)
    if value and (len(value) < 16 or not value.isascii() or not value.isprintable() or " " in value):
        raise wrong(name, "…", "empty, or 16 characters and more without spaces")
    return value


def address_of(host: str, port: int) -> str:
    """Where a server that is bound to `host` and `port` is found from its own machine."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def host_of(address: str) -> str:
    """The host of an address as ALLOWED_HOSTS writes it: an IPv6 address in brackets."""
    host = urlsplit(address).hostname or ""
    return f"[{host}]" if ":" in host else host


def url(name: str, default: str) -> str:
    """An http or https address without a path, e.g. https://calls.example.org."""
    value = text(name, default).rstrip("/")
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.path or parts.query)
        good = good and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise wrong(name, value, "an address such as https://calls.example.org")
    return value


def prefix(name: str) -> str:
    """The beginning of paths, such as /_recordings/; empty when unset."""
    value = text(name)
    if value and not _PREFIX.fullmatch(value):
        raise wrong(name, value, "empty, or a path that starts and ends with a slash, such as /_recordings/")
    return value


def folder(name: str, default: Path) -> Path:
    """A path, made absolute."""
    return Path(text(name, str(default))).expanduser().absolute()


def private_folder(path: Path) -> None:
    """Make the folder, if need be, closed to other users of the machine. One that is there stays as it is."""
    path.mkdir(parents=True, exist_ok=True, mode=0o750)


def database(name: str, default: str) -> dict[str, Any]:
    """Django's settings of one database, from sqlite:///path or postgres://user:password@host:port/name."""
    value = text(name, default)
    shown = value.split("://")[0] + "://…"  # the address may hold a password
    may_be = "sqlite:////absolute/path or postgres://user:password@host:port/name"
    try:
        config = dict(environ.Env.db_url_config(value))
    except Exception:
        raise wrong(name, shown, may_be) from None  # its words may have the password
    if config.get("ENGINE") not in {"django.db.backends.sqlite3", "django.db.backends.postgresql"}:
        raise wrong(name, shown, may_be)
    return config


def key_file(path: Path) -> str:
    """The secret in `path`, made on first use with mode 0600. Two processes that start together agree on one."""
    try:
        if not path.exists():
            _make_key(path)
        value = path.read_text().strip()
    except OSError as error:
        words = f"The key file {path} can't be made or read: {error.strerror}. Put that right, or set PROSAASIL_VAR."
        raise ImproperlyConfigured(words) from error
    if len(value) < 32:
        raise ImproperlyConfigured(f"The key file {path} is damaged. Restore it, or remove it to have a new one made.")
    return value


def _make_key(path: Path) -> None:
    private_folder(path.parent.parent)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        with contextlib.suppress(FileExistsError):  # another was first: then theirs is the key
            os.link(mine, path)
    finally:
        mine.unlink(missing_ok=True)
