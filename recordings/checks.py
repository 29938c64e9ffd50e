"""System checks."""

import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connection


@register(Tags.security)
def private_files(**kwargs: Any) -> list[CheckMessage]:
    """The data folder and the SQLite file hold phone numbers, secrets and sessions: other users must not read them."""
    paths = [Path(settings.PROSAASIL_VAR)]
    database = Path(str(connection.settings_dict["NAME"])) if connection.vendor == "sqlite" else None
    if database is not None and _open_to_others(database.parent):
        paths.append(database)
    return [_warning(path) for path in paths if _open_to_others(path)]


def _open_to_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IRWXO)
    except OSError:  # not there yet, or not ours to see
        return False


def _warning(path: Path) -> CheckMessage:
    hint = f"chmod o-rwx {path}"
    return Warning(f"{path} can be read by every user of this machine.", hint=hint, id="recordings.W001")
