"""System checks."""

import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks


@checks.register(checks.Tags.security)
def private_files(**kwargs: Any) -> list[checks.CheckMessage]:
    """The data folder and the SQLite file hold phone numbers, secrets and sessions: other users must not read them."""
    paths = [Path(settings.PROSAASIL_VAR)]
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3") and _open_to_others(Path(database["NAME"]).parent):
        paths.append(Path(database["NAME"]))
    return [_warning(path) for path in paths if _open_to_others(path)]


def _open_to_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IRWXO)
    except OSError:  # not there yet, or not ours to see
        return False


def _warning(path: Path) -> checks.CheckMessage:
    hint = f"chmod o-rwx {path}"
    return checks.Warning(f"{path} can be read by every user of this machine.", hint=hint, id="recordings.W001")
