"""Words for operators about what everything stands on: a disk that is full, a database that does not answer."""

import errno
import os
from pathlib import Path

from django.conf import settings

NEARLY_NOTHING = 1 << 20
"""Bytes. With less than this free, a failed write is the disk's fault."""

RAISE_THE_LIMIT = "This process has no file descriptors left: raise its limit (LimitNOFILE, ulimit -n)"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: OSError) -> bool:
    """Whether this write failed for want of room."""
    return error.errno in _FULL


def is_out_of_descriptors(error: OSError) -> bool:
    """Whether this process, or the system, may open no further file."""
    return error.errno in (errno.EMFILE, errno.ENFILE)


def of_disk(folder: Path, error: OSError | None = None) -> str:
    """What is wrong with the disk of `folder`, and what to do; empty where nothing seems to be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    disk = os.statvfs(folder)
    no_inodes = disk.f_files > 0 and not disk.f_favail  # some file systems count none at all
    if (error is not None and is_full(error)) or disk.f_bavail * disk.f_frsize < NEARLY_NOTHING or no_inodes:
        return f"The disk is full: make room on the file system of {folder}"
    return ""


def is_read_only(folder: Path) -> bool:
    """Whether the file system of `folder` is mounted so that nothing can be written."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _of_descriptors(error: Exception) -> str:
    """SQLite says no more than "unable to open database file" when the process may open no further one."""
    if "unable to open" not in str(error):
        return ""
    try:
        os.close(os.open("/", os.O_RDONLY))
    except OSError as refused:
        return RAISE_THE_LIMIT if is_out_of_descriptors(refused) else ""
    return ""


def of_database(error: Exception) -> str:
    """Which database, what it says, and what to do about it where that is known. One line, without the password."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    database = settings.DATABASES["default"]
    name = str(database["NAME"])
    if database["ENGINE"].endswith("sqlite3"):
        return ". ".join(filter(None, (f"{name}: {said}", of_disk(Path(name).parent), _of_descriptors(error))))
    return f"PostgreSQL {name} at {database.get('HOST') or 'localhost'}: {said}"
