"""recordings/away.py: a trouble of the machine is said once a minute, by whoever sees it; its end, once."""

import errno
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from prosaasil.supervisor.processes import allow_descriptors
from recordings import away
from recordings.away import look_at_storage, tell_storage
from recordings.download.errors import StorageFull
from recordings.storage import MARKER, StorageAway, StorageReadOnly, default_storage

SAID = {
    "away": "The storage of recordings is away",
    "full": "The storage of recordings is full",
    "back": "The storage of recordings is back",
}


@pytest.fixture(autouse=True)
def storage(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    settings.RUN_DIR, settings.RECORDINGS_ROOT = tmp_path / "run", tmp_path / "recordings"
    settings.RECORDINGS_MIN_FREE_BYTES = 0
    (tmp_path / "run").mkdir()
    default_storage().prepare()
    another_process()
    yield settings.RECORDINGS_ROOT
    another_process()


def another_process() -> None:
    """Forget what this one knows, as one that has just begun."""
    away._told_until.clear()
    away._unwritten.clear()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_several_processes_say_once_a_minute_that_it_is_away_and_once_that_it_is_back(
    storage: Path, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    (storage / MARKER).rename(storage / "aside")
    for _ in range(3):
        look_at_storage()
        look_at_storage()
        another_process()
    assert said(caplog) == [SAID["away"]]
    [record] = caplog.records
    assert record.folder == str(storage)  # type: ignore[attr-defined]
    assert record.error == os.strerror(errno.ENOENT)  # type: ignore[attr-defined]
    assert "mount it" in record.do  # type: ignore[attr-defined]

    long_ago = time.time() - away.TELL_EVERY - 1
    os.utime(Path(settings.RUN_DIR) / "storage_away.told", (long_ago, long_ago))
    look_at_storage()
    assert said(caplog) == [SAID["away"]] * 2

    (storage / "aside").rename(storage / MARKER)
    for _ in range(3):
        look_at_storage()
        another_process()
    assert said(caplog) == [SAID["away"]] * 2 + [SAID["back"]]


def test_where_the_run_folder_is_gone_too_each_process_still_says_both_once(
    storage: Path, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    shutil.rmtree(settings.RUN_DIR)
    (storage / MARKER).rename(storage / "aside")
    for _ in range(3):
        look_at_storage()
    (storage / "aside").rename(storage / MARKER)
    for _ in range(3):
        look_at_storage()
    assert said(caplog) == [SAID["away"], SAID["back"]]


def test_a_trouble_that_turns_into_another_is_no_return(
    storage: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (storage / MARKER).rename(storage / "aside")
    look_at_storage()
    (storage / "aside").rename(storage / MARKER)
    monkeypatch.setattr(default_storage(), "min_free_bytes", 10**15)
    look_at_storage()
    monkeypatch.setattr(default_storage(), "min_free_bytes", 0)
    look_at_storage()
    assert said(caplog) == [SAID["away"], SAID["full"], SAID["back"]]


def test_no_descriptor_for_the_marker_is_no_storage_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    error = StorageAway()
    error.__cause__ = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    tell_storage(error)
    tell_storage(error)
    [record] = caplog.records
    assert record.getMessage() == "A process has no file descriptors left"
    assert (record.pid, record.descriptors) == (  # type: ignore[attr-defined]
        os.getpid(),
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


WORDS = [
    (StorageAway(), "its marker file is not there", "קובץ הסימון שלו אינו נמצא"),
    (StorageReadOnly(), "is mounted read-only", "מחובר לקריאה בלבד"),
    (StorageFull(), "bytes free, 0 wanted", "בתים פנויים"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("error", "english", "hebrew"), WORDS)
def test_readyz_and_every_page_of_the_admin_say_what_is_wrong(
    error: Exception, english: str, hebrew: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(User.objects.create_superuser("operator"))
    assert english not in client.get("/admin/").content.decode()

    def refuse() -> None:
        raise error

    monkeypatch.setattr(default_storage(), "demand_room", refuse)
    answer = client.get("/readyz", headers={"Accept-Language": "he"})
    assert answer.status_code == 503
    assert english in answer.json()["checks"]["storage"], "monitoring reads English"
    for page in ("/admin/", "/admin/recordings/recording/"):
        assert english in client.get(page).content.decode()
        assert hebrew in client.get(page, headers={"Accept-Language": "he"}).content.decode()
    assert english not in Client().get("/admin/login/").content.decode(), "who has not logged in is told nothing"


def test_a_service_is_allowed_the_descriptors_that_the_system_allows_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = min(256, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
        most = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
        assert allow_descriptors() == most
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
