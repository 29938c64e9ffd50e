"""What comes before serving: the database, the recordings folder, the static files; and what is refused."""

import errno
import io
import re
import shutil
import socket
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from pytest_django import Settings

from conftest import StartService
from demo.service import Service, wait_until
from prosaasil.supervisor import ports
from recordings import storage
from recordings.download.errors import StorageError
from recordings.management.commands.prepare import in_words
from recordings.tests.rows import READY, recording


@pytest.mark.parametrize(("error", "words"), [
    (OSError(errno.ENOSPC, "No space left on device", "/nowhere/file"), "make room on the file system of /"),
    (OperationalError("disk I/O error"), "The database does not answer: "),
    (StorageError("Our storage failed: Read-only file system."), "can't be made: Our storage failed"),
])  # fmt: skip
def test_what_this_machine_must_put_right_ends_with_3_and_what_to_do(error: Exception, words: str) -> None:
    with pytest.raises(CommandError, match=re.escape(words)) as raised, in_words():
        raise error
    assert raised.value.returncode == 3


def test_another_fault_is_not_hidden() -> None:
    with pytest.raises(PermissionError), in_words():
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.fixture
def var(settings: Settings, tmp_path: Path) -> Path:
    """An empty data folder, and a single static file to collect."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "page.css").write_text("body { color: black }")
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = tmp_path / "static"
    hashed = {"BACKEND": "prosaasil.static.HashedStaticFiles"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": hashed}
    settings.RUN_DIR = tmp_path / "run"
    settings.RECORDINGS_ROOT = tmp_path / "recordings"
    return tmp_path


def prepare(*arguments: str) -> str:
    """Run it; returns what it said."""
    said = io.StringIO()
    call_command("prepare", *arguments, stdout=said, stderr=said)
    return said.getvalue()


@pytest.mark.django_db
def test_a_second_time_changes_nothing_and_says_nothing(var: Path) -> None:
    prepare()
    marker = storage.default_storage().marker()
    assert prepare() == ""
    assert storage.default_storage().marker() == marker


@pytest.mark.django_db
def test_a_static_file_that_has_changed_is_collected_again(var: Path) -> None:
    prepare()
    (var / "source" / "page.css").write_text("body { color: midnightblue }")
    assert "Collecting the static files" in prepare()
    assert "midnightblue" in (var / "static" / "page.css").read_text()


@pytest.mark.django_db
def test_static_files_are_collected_again_when_they_are_gone(var: Path) -> None:
    prepare()
    shutil.rmtree(var / "static")
    prepare()
    assert (var / "static" / "staticfiles.json").exists()


@pytest.mark.django_db
def test_a_recordings_folder_that_is_missed_is_not_made_anew(var: Path) -> None:
    prepare()
    recording(READY)
    shutil.rmtree(var / "recordings")
    assert "1 recordings are kept in it" in prepare()
    with pytest.raises(storage.StorageAway):
        storage.default_storage().check()


@pytest.mark.django_db
def test_a_recordings_folder_that_is_gone_for_good_is_made_anew_when_told_so(var: Path) -> None:
    prepare()
    recording(READY)
    shutil.rmtree(var / "recordings")
    prepare("--new-storage")
    storage.default_storage().check()


def test_serving_a_database_that_was_not_prepared_is_refused(tmp_path: Path) -> None:
    service = Service(tmp_path / "var")
    service.start(wait=False)
    assert service.exit_status() == 3
    assert "The database lacks" in service.log()
    assert "serve --prepare" in service.log()


def test_a_database_that_does_not_answer_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind((ports.LOOPBACK, 0))
        url = f"postgres://user:password@{ports.LOOPBACK}:{nobody.getsockname()[1]}/name"
        service = Service(tmp_path / "var", "--prepare", database_url=url)
        service.start(wait=False)
        assert service.exit_status() == 3
    assert "The database does not answer" in service.log()
    assert "Traceback" not in service.log()
    assert "password" not in service.log()


def test_the_demo_is_refused_where_others_could_reach_it(tmp_path: Path) -> None:
    service = Service(tmp_path / "var", "--prepare", "--demo", environment={"BIND": "0.0.0.0"})
    service.start(wait=False)
    assert service.exit_status() == 3
    assert "BIND=0.0.0.0 is refused" in service.log()
    assert not (service.var / "prosaasil.sqlite3").exists()


@pytest.mark.once  # what it asks the database, every start without --demo asks
def test_the_first_start_without_demo_says_how_to_begin(service: StartService) -> None:
    started = service("--prepare")
    wait_until(lambda: "Ctrl-C ends it." in started.log(), what="it has said that it is there")
    for command in ("createsuperuser", "create_business", "create_member", "import_calls"):
        assert f"manage.py {command}" in started.log()


def test_the_demo_starts_with_its_provider_and_its_logins_and_keeps_the_data(service: StartService) -> None:
    demo = service("--prepare", "--demo")
    wait_until(lambda: "demo-password" in demo.log(), what="it has told the logins")
    calls = demo.sql("SELECT COUNT(*) FROM call_log")
    wait_until(lambda: demo.sql("SELECT 1 FROM call_log WHERE recording_download_status = 'ready'"), what="downloads")
    assert demo.sql("SELECT * FROM recordings_attempt WHERE reason = 'unreachable'") == [], "begun too soon"
    port = (demo.var / "demo.json").read_text()
    demo.stop()
    again = service("--prepare", "--demo", like=demo)
    assert again.sql("SELECT COUNT(*) FROM call_log") == calls
    assert (demo.var / "demo.json").read_text() == port
