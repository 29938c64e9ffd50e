"""What the settings make of the environment."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from demo import warm
from prosaasil import environment


def setting(name: str, var: Path, **given: str) -> str:
    """A setting's value, as a process with this environment has it."""
    code = f"from prosaasil import settings; print(settings.{name})"
    own = {"PATH": os.environ["PATH"], "PROSAASIL_VAR": str(var)}
    return (
        subprocess.check_output([sys.executable, "-c", code], env=own | given, cwd=settings.BASE_DIR).decode().strip()
    )


def test_allowed_hosts_may_have_spaces_between_them(tmp_path: Path) -> None:
    assert setting("ALLOWED_HOSTS", tmp_path, ALLOWED_HOSTS="a.example, b.example,, ") == "['a.example', 'b.example']"


@pytest.mark.parametrize(("public", "host"), [
    ("https://calls.example.org", "calls.example.org"), ("https://Calls.example.org:8443", "calls.example.org"),
    ("http://[fd00::1]:8000", "[fd00::1]"), ("http://[fd00::1]", "[fd00::1]"),
])  # fmt: skip
def test_the_host_of_the_public_address_is_allowed(tmp_path: Path, public: str, host: str) -> None:
    assert f"'{host}']" in setting("ALLOWED_HOSTS", tmp_path, PUBLIC_URL=public)


@pytest.mark.parametrize(("bind", "address"), [
    ("127.0.0.1", "http://127.0.0.1:8000"), ("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://127.0.0.1:8000"),
    ("::1", "http://[::1]:8000"), ("10.0.0.7", "http://10.0.0.7:8000"),
])  # fmt: skip
def test_the_public_address_follows_from_what_is_bound(tmp_path: Path, bind: str, address: str) -> None:
    assert setting("PUBLIC_URL", tmp_path, BIND=bind) == address


@pytest.mark.parametrize("path", ["", "/_recordings/", "/a/b-c_d/"])
def test_where_nginx_finds_recordings_is_a_path_with_slashes_around_it(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("RECORDINGS_ACCEL", path)
    assert environment.prefix("RECORDINGS_ACCEL") == path


@pytest.mark.parametrize("path", ["/", "/a", "a/", "//", "/a b/", "/a//b/", "/a?b/", "/a\r\nX: y/", "/../"])
def test_another_path_for_nginx_stops_the_start(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("RECORDINGS_ACCEL", path)
    with pytest.raises(ImproperlyConfigured, match=r"RECORDINGS_ACCEL.*starts and ends with a slash"):
        environment.prefix("RECORDINGS_ACCEL")


@pytest.mark.parametrize("token", ["", "0123456789abcdef", "a" * 64])
def test_the_token_of_metrics_is_none_or_one_that_nobody_guesses(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("METRICS_TOKEN", token)
    assert environment.token("METRICS_TOKEN") == token


@pytest.mark.parametrize("token", ["secret", "0123456789 abcdef", "0123456789abcdé!", "0123456789\nabcdef"])
def test_another_token_stops_the_start_and_is_not_shown(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("METRICS_TOKEN", token)
    with pytest.raises(ImproperlyConfigured, match=r"METRICS_TOKEN.*16 characters") as refused:
        environment.token("METRICS_TOKEN")
    assert token not in str(refused.value)


def test_the_data_folder_is_made_for_its_owner(tmp_path: Path) -> None:
    var = tmp_path / "var"
    key = environment.key_file(var / "keys" / "secret_key")
    assert environment.key_file(var / "keys" / "secret_key") == key
    modes = [path.stat().st_mode & 0o777 for path in (var, var / "keys", var / "keys" / "secret_key")]
    assert modes == [0o750, 0o700, 0o600]


def test_the_command_line_makes_no_file_for_others(tmp_path: Path) -> None:
    own = {"PATH": os.environ["PATH"], "PROSAASIL_VAR": str(tmp_path / "var")}
    warm.manage(["migrate", "-v0"], own)
    files = [path for path in (tmp_path / "var").rglob("*") if path.is_file()]
    assert tmp_path / "var" / "prosaasil.sqlite3" in files
    assert [path for path in files if path.stat().st_mode & 0o007] == []


def test_a_key_that_can_not_be_written_stops_the_start_with_the_file_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("prosaasil.environment.os.open", full)
    with pytest.raises(ImproperlyConfigured, match=r"keys/secret_key can't be made or read: No space left"):
        environment.key_file(tmp_path / "keys" / "secret_key")


@pytest.mark.parametrize(("role", "engine"), [
    ("web", "prosaasil.pooled_sqlite3"), ("cluster", "django.db.backends.sqlite3"),
    ("command", "django.db.backends.sqlite3"),
])  # fmt: skip
def test_threads_of_the_web_hand_connections_on_and_no_others_do(tmp_path: Path, role: str, engine: str) -> None:
    assert setting("DATABASES['default']['ENGINE']", tmp_path, PROSAASIL_ROLE=role) == engine
