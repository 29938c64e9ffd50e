"""recordings/health.py: is the process alive, and can it do its work?"""

import os
import re
import shutil
import time
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from calls.tests.factories import make_member
from recordings.storage import default_storage
from recordings.tests.api import program_of, storage  # noqa: F401  (a fixture)
from recordings.tests.rows import READY, recording


@pytest.fixture
def alive(settings: Settings, tmp_path: Path) -> Path:
    """The workers' sign of life, fresh."""
    settings.RUN_DIR = tmp_path
    sign = tmp_path / "cluster.alive"
    sign.touch()
    return sign


@pytest.mark.django_db
def test_workers_that_write_to_another_storage_than_the_web_reads_are_not_well(alive: Path) -> None:
    alive.write_text("0" * 32)
    status, checks = ready()
    assert (status, checks["workers"]) == (503, "write to another storage than the web reads")


def ready() -> tuple[int, dict[str, str]]:
    response = Client().get("/readyz")
    assert "no-store" in response["Cache-Control"]
    body = response.json()
    assert body["status"] == ("ok" if response.status_code == 200 else "failing")
    return response.status_code, body["checks"]


WELL = {"database": "ok", "storage": "ok", "workers": "ok"}


def test_a_process_that_answers_is_healthy_without_a_database() -> None:
    response = Client().get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert Client().head("/healthz").status_code == 200
    assert Client().post("/healthz").status_code == 405


@pytest.mark.django_db
def test_all_well_is_ready_in_one_query(alive: Path, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        assert ready() == (200, WELL)


@pytest.mark.django_db
def test_silent_workers_are_named_and_a_probe_logs_nothing(alive: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.utime(alive, (time.time() - 40, time.time() - 40))
    assert ready() == (503, WELL | {"workers": "gave no sign of life for 40 s"})
    assert caplog.records == []
    alive.unlink()
    assert ready() == (503, WELL | {"workers": "gave no sign of life"})


@pytest.mark.django_db
def test_storage_that_is_away_is_named_and_never_marked_again(alive: Path, storage: Path) -> None:  # noqa: F811
    shutil.rmtree(storage)
    assert ready() == (503, WELL | {"storage": "its marker file is not there"})
    storage.mkdir()
    assert ready()[0] == 503
    assert list(storage.iterdir()) == []


@pytest.mark.django_db
def test_a_check_leaves_nothing_in_the_storage(alive: Path, storage: Path) -> None:  # noqa: F811
    before = sorted(storage.iterdir())
    ready()
    assert sorted(storage.iterdir()) == before


@pytest.mark.django_db
def test_a_database_that_does_not_answer_is_named_without_its_address(
    alive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OperationalError('connection to "db.internal" failed: password=hunter2')

    monkeypatch.setattr("recordings.health.connection.cursor", refuse)
    assert ready() == (503, WELL | {"database": "does not answer"})


@pytest.mark.django_db
def test_a_full_disk_is_not_ready_and_is_told_in_bytes(alive: Path, storage: Path, settings: Settings) -> None:  # noqa: F811
    settings.RECORDINGS_MIN_FREE_BYTES = 10**15
    status, checks = ready()
    assert status == 503
    assert re.fullmatch(r"full: [0-9]+ bytes free, 1000000000000000 wanted", checks["storage"])


@pytest.mark.django_db
def test_a_storage_that_is_away_is_told_once_a_minute_with_its_folder(
    alive: Path,
    storage: Path,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recordings.away._told_until", {})
    alive.write_text(default_storage().marker())
    shutil.rmtree(storage)
    for _ in range(3):
        assert ready() == (503, WELL | {"storage": "its marker file is not there"}), "the workers are not to blame"
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "The storage of recordings is away")
    assert record.folder == str(storage)  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_plays_without_a_storage_are_one_line_a_minute_and_not_one_a_request(
    storage: Path,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    settings: Settings,
    tmp_path: Path,
) -> None:
    settings.RUN_DIR = tmp_path
    row = recording(READY)
    shutil.rmtree(storage)
    client = program_of(make_member(row.business))
    answers = [client.get(f"/api/recordings/{row.call_sid}/stream").status_code for _ in range(3)]
    assert answers == [503, 503, 503]
    assert [record.getMessage() for record in caplog.records] == ["The storage of recordings is away"]
