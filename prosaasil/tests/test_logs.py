"""Log lines: what must not stand in them, however long a caller makes it."""

import errno
import json
import logging
import sys

import pytest
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

from prosaasil.logs import ConsoleFormatter, InWords, JsonFormatter, clean, logging_config

MANY = 200_000


@pytest.mark.parametrize(("text", "cleaned"), [
    ("GET https://a.example/x?token=1 failed", "GET https://a.example/x?… failed"),
    ("/calls/?search=0541234567", "/calls/?…"),
    ("https://a.example?token=1", "https://a.example?…"),
    ("x?/a?secret", "x?/a?…"),
    ("why? because", "why? because"),
    ("/calls/?", "/calls/?"),
    ("'/a?b' \"/c?d\" </e?f>", "'/a?…' \"/c?…\" </e?…>"),
    ("postgres://user:pass@host/name", "postgres://…@host/name"),
    ("postgres://user:p@ss@host/name", "postgres://…@host/name"),
    ("someone@example.org", "someone@example.org"),
    ("one\ntwo\x1b[31m\u2028", "one\\ntwo\\x1b[31m\\u2028"),
])  # fmt: skip
def test_queries_credentials_and_control_characters_are_taken_out(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(("repeated", "cleaned"), [
    ("/", "/" * 4_000 + "…"),
    ("a", "a" * 4_000 + "…"),
    ("https://", "https://" * 500 + "…"),
    ("?", "?" * 4_000 + "…"),
    ("/?", "/?…"),
    ("://a@", "://…@" * 800 + "…"),
    ("://a", "://a" * 1_000 + "…"),
    ("@", "@" * 4_000 + "…"),
])  # fmt: skip
def test_a_very_long_value_is_cleaned_and_cut(repeated: str, cleaned: str) -> None:
    assert clean(repeated * MANY) == cleaned


def test_a_long_traceback_is_kept_whole() -> None:
    def deeper(levels: int) -> None:
        if levels:
            return shallower(levels - 1)
        raise RuntimeError("the bottom of https://a.example/?token=1")

    def shallower(levels: int) -> None:
        deeper(levels)

    try:
        deeper(60)
    except RuntimeError:
        record = logging.LogRecord("calls", logging.ERROR, "", 0, "Broken", None, sys.exc_info())
    exception = json.loads(JsonFormatter().format(record))["exception"]
    assert len(exception) > 4_000
    assert "\n" not in exception
    assert exception.endswith("RuntimeError: the bottom of https://a.example/?…")
    assert ConsoleFormatter().format(record).endswith("RuntimeError: the bottom of https://a.example/?…")


@pytest.mark.parametrize(("name", "level", "written"), [
    ("django.security.DisallowedHost", logging.ERROR, False),
    ("django.security.csrf", logging.WARNING, False),
    ("django.request", logging.WARNING, False),
    ("django.request", logging.ERROR, True),
    ("recordings.bell", logging.INFO, True),
])  # fmt: skip
def test_what_callers_do_wrong_is_no_line_of_ours(name: str, level: int, written: bool) -> None:
    levels = {logger: options["level"] for logger, options in logging_config("json", "INFO")["loggers"].items()}
    nearest = max((logger for logger in levels if f"{name}.".startswith(f"{logger}.")), key=len)
    assert (level >= logging.getLevelName(levels[nearest])) is written


def test_a_wrong_host_leaves_no_line(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.ALLOWED_HOSTS = ["calls.example.org"]
    assert Client(headers={"Host": "evil.example"}).get("/nothing").status_code == 400
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("error", "words"), [
    (OperationalError("disk I/O error\nline 2"), "disk I/O error"),
    (OSError(errno.ENOSPC, "No space left on device", "/x/cluster.alive"), "Make room on this disk"),
    (OSError(errno.EMFILE, "Too many open files", "/x/cluster.alive"), "raise its limit"),
])  # fmt: skip
@pytest.mark.parametrize("style", ["console", "json"])
def test_what_an_operator_must_put_right_comes_in_one_line_without_a_traceback(
    error: Exception, words: str, style: str
) -> None:
    config = logging_config(style, "INFO")
    assert config["handlers"]["stderr"]["filters"][-1] == "in_words"
    try:
        raise error
    except type(error):
        record = logging.LogRecord("django-q", logging.ERROR, "", 0, "Failed to pull task", None, sys.exc_info())
    assert InWords().filter(record)
    line = config["formatters"]["line"]["()"]().format(record)
    assert "Failed to pull task" in line
    assert words in line
    assert "Traceback" not in line
    assert "\n" not in line
