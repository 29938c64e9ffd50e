"""recordings/checks.py: files that other users of the machine can read are warned of."""

from pathlib import Path

import pytest
from pytest_django import Settings

from recordings import checks


def warned(settings: Settings, monkeypatch: pytest.MonkeyPatch, var: Path, file: Path) -> list[str]:
    """The paths that are warned of."""
    monkeypatch.setitem(settings.DATABASES, "default", {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)})
    settings.PROSAASIL_VAR = var
    return [message.msg.split(" ")[0] for message in checks.private_files()]


@pytest.mark.parametrize(("folder_mode", "file_mode", "words"), [
    (0o700, 0o600, []), (0o750, 0o640, []), (0o750, 0o644, []), (0o755, 0o640, ["var"]),
    (0o755, 0o644, ["var", "var/prosaasil.sqlite3"]),
])  # fmt: skip
def test_what_others_can_read_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder_mode: int, file_mode: int,
    words: list[str],
) -> None:  # fmt: skip
    var = tmp_path / "var"
    var.mkdir()
    file = var / "prosaasil.sqlite3"
    file.touch()
    file.chmod(file_mode)
    var.chmod(folder_mode)
    assert warned(settings, monkeypatch, var, file) == [str(tmp_path / word) for word in words]


def test_what_is_not_there_yet_is_not_warned_of(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert warned(settings, monkeypatch, tmp_path / "var", tmp_path / "elsewhere" / "file") == []


def test_a_data_folder_that_we_made_is_not_warned_of() -> None:
    assert checks.private_files() == []
