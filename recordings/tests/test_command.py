"""What all our commands share, seen from a shell: exit codes, and words in place of tracebacks."""

import os
import subprocess
from pathlib import Path

import pytest

from demo import warm


def manage(var: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as a shell would, on a data folder of its own."""
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return warm.manage(arguments, kept | {"PROSAASIL_VAR": str(var)} | environment, check=False)


def test_a_database_that_is_away_ends_with_3_and_a_sentence(tmp_path: Path) -> None:
    url = "postgres://someone:secret@127.0.0.1:9/nothing"
    done = manage(
        tmp_path, "create_member", "anna", "--business", "acme", "--role", "listener", "--token", DATABASE_URL=url
    )
    assert done.returncode == 3
    assert "The database can't be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_a_database_that_was_never_set_up_ends_with_3_and_what_to_run(tmp_path: Path) -> None:
    done = manage(tmp_path, "import_calls", "-", "--business", "acme")
    assert done.returncode == 3
    assert "manage.py migrate" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["import_calls"],
        ["import_calls", "-", "--business", "acme", "--format", "xml"],
        ["create_member", "anna", "--role", "boss"],
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    assert manage(tmp_path, *arguments).returncode == 2


def test_an_error_begins_with_a_plain_word(tmp_path: Path) -> None:
    done = manage(tmp_path, "import_calls", "-", "--business", "acme")
    assert done.stderr.startswith("Error: The database has not been set up")
    database = tmp_path / "prosaasil.sqlite3"
    assert f"{database}: no such table" not in done.stderr


def test_a_database_that_can_not_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "prosaasil.sqlite3").mkdir()
    done = manage(tmp_path, "prepare")
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert f"The database does not answer: {tmp_path / 'prosaasil.sqlite3'}: unable to open" in done.stderr
