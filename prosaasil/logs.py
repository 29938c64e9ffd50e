"""Log lines: JSON or console, one line each, without query strings and without control characters."""

import codecs
import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")

# What every LogRecord carries; anything else came with `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request", "server_time"}
# Callers choose much of what is logged: no pattern may look at a character more than a few times.
_WORD = re.compile(r"[^\s\"'<>]+")
_USERINFO = re.compile(r"://[^\s/]+@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST = 4_000  # characters of one value

codecs.lookup("unicode_escape")  # loads its module; at its first use there may be no descriptor left to read that


def clean(text: str) -> str:
    """`text` without query strings and credentials of URLs, cut where it is very long, control characters escaped."""
    text = _USERINFO.sub("://…@", _WORD.sub(_without_query, text))
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def _without_query(found: re.Match[str]) -> str:
    """An address or a path up to its question mark; another word as it is."""
    word = found.group()
    slash = word.find("/")
    mark = word.find("?", slash)
    return word if slash < 0 or mark < 0 or mark == len(word) - 1 else word[:mark] + "?…"


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    extras = {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}
    if name := request_id.get():
        extras.setdefault("request_id", name)
    return extras


OUR_FAULT = ("no such ", "syntax error", "has no column", "ambiguous column")
"""What SQLite calls operational too, and is a statement of ours that is wrong: that wants its traceback."""


class InWords(logging.Filter):
    """A database away, a disk full, no descriptors left: what is wrong and what to do, in place of a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes; one that came with such an error has `error` and no traceback."""
        words = self._words(record.exc_info[1]) if record.exc_info else ""
        if words:
            record.error, record.exc_info, record.exc_text = words, None, None
        return True

    @staticmethod
    def _words(error: BaseException | None) -> str:
        from django.db import InterfaceError, OperationalError

        from prosaasil import trouble

        if isinstance(error, OperationalError | InterfaceError) and not any(word in str(error) for word in OUR_FAULT):
            return f"The database can't be used: {trouble.of_database(error)}"
        if not isinstance(error, OSError):
            return ""
        if trouble.is_out_of_descriptors(error):
            return f"{error}. {trouble.RAISE_THE_LIMIT}"
        return f"{error}. Make room on this disk" if trouble.is_full(error) else ""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, then what `extra` named."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record`; a value that JSON can't hold is shown as text."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": clean(record.getMessage()),
        }
        for key, value in _extras(record).items():
            line[key] = value if isinstance(value, (int, float, bool, type(None))) else clean(str(value))
        if record.exc_info:
            line["exception"] = "\\n".join(map(clean, self.formatException(record.exc_info).split("\n")))
        return json.dumps(line, ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    """For people: date and time, level, message, then key=value; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record` on one line, with its traceback indented below."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        extras = " ".join(f"{key}={clean(str(value))}" for key, value in _extras(record).items())
        line = f"{time} {record.levelname:<7} {clean(record.getMessage())}" + (f"  {extras}" if extras else "")
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line += "".join(f"\n    {clean(row)}" for row in trace)
        return line


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line is worth writing: not the traceback, one a listener, of a recording that broke off on purpose."""
    # The web server hands the traceback over as text, and names the exception without its module.
    return not (record.name.startswith("_granian") and "\n    raise Broken\n" in record.getMessage())


def logging_config(style: str, level: str) -> dict[str, Any]:
    """Django's LOGGING for `style` (json, console) and `level`. The queue and the web speak up only on trouble."""
    formatter = JsonFormatter if style == "json" else ConsoleFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "filters": {"news": {"()": lambda: is_news}, "in_words": {"()": InWords}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["news", "in_words"]}
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "prosaasil": {"level": level},
            "calls": {"level": level},
            "recordings": {"level": level},
            "demo": {"level": level},
            # Its INFO is three lines a task.
            "django-q": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
            # Its WARNING is a line for each 4xx.
            "django.request": {"level": "ERROR"},
            # A line, with a traceback even, for each wrong Host or CSRF token that somebody sends.
            "django.security": {"level": "CRITICAL"},
        },
    }
