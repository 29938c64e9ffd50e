"""A download that was interrupted goes on where it stopped, and only with bytes of the same content."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from calls.models import PRIORITY_CLICK
from demo import library
from demo.provider import Provider
from recordings.attempts import Attempt, Outcome
from recordings.download import worker
from recordings.lifecycle import Ask
from recordings.models import Recording
from recordings.storage import StoredFile, default_storage
from recordings.tests.downloads import business_of, provider_and_storage, waiting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with provider_and_storage(tmp_path, RECORDINGS_SLOTS=4) as provider:
        worker._crew.cache_clear()
        yield provider
        worker._crew.cache_clear()


@pytest.fixture
def row(provider: Provider) -> Recording:
    """A recording of ten minutes, whose first download broke off in the middle."""
    row = waiting(business_of(provider), provider, "long-mono-cbr", recording_priority=PRIORITY_CLICK)
    provider.misbehave("long-mono-cbr", "reset-body", first=1, milliseconds=300)
    worker.drain()
    row.refresh_from_db()
    assert row.recording_reason == "unreachable"
    return row


def again(row: Recording) -> Recording:
    Recording.objects.filter(pk=row.pk).queue(Ask.PERSON)
    worker.drain()
    row.refresh_from_db()
    return row


def files(row: Recording) -> list[StoredFile]:
    return default_storage().files_of(row.pk)


def versions() -> list[int | None]:
    return list(Attempt.objects.order_by("pk").values_list("version", flat=True))


def test_the_rest_is_asked_for_and_the_content_keeps_its_version(provider: Provider, row: Recording) -> None:
    [part] = files(row)
    assert part.is_part
    audio = provider.audio(row.recording_url or "")
    assert again(row).recording_download_status == "ready"
    assert row.recording_sha256 == audio.sha256
    first, second = provider.log()
    assert "range" not in first.headers
    assert second.headers["range"] == f"bytes={part.size}-"
    assert second.headers["if-range"] == audio.validators[0]
    assert [file.name for file in files(row)] == [row.recording_file]
    assert versions()[0] == row.recording_version
    assert int(files(row)[0].modified) == row.recording_version


def test_a_whole_part_that_was_never_verified_needs_no_request(provider: Provider, row: Recording) -> None:
    [part] = files(row)
    audio = provider.audio(row.recording_url or "")
    default_storage().path(part.name).write_bytes(audio.body)
    assert again(row).recording_sha256 == audio.sha256
    assert provider.count("long-mono-cbr").requests == 1
    assert [attempt.outcome for attempt in Attempt.objects.order_by("pk")] == [Outcome.FAILED, Outcome.READY]


@pytest.mark.parametrize("how", ["changed", "ignores-range", "unasked-part", "no-validator", "other-address"])
def test_what_may_not_be_the_same_is_fetched_from_its_beginning(provider: Provider, row: Recording, how: str) -> None:
    before = versions()[0]
    if how == "changed":
        provider.put("long-mono-cbr", library.load("long-vbr"))
    elif how == "no-validator":
        Attempt.objects.update(validator="")
    elif how == "other-address":
        Attempt.objects.update(url_digest="0" * 64)
    else:
        provider.misbehave("long-mono-cbr", how, first=1)
    assert again(row).recording_download_status == "ready"
    assert row.recording_sha256 == provider.audio(row.recording_url or "").sha256
    assert before is not None
    assert row.recording_version is not None
    assert row.recording_version > before
    assert [file.name for file in files(row)] == [row.recording_file]


def test_a_part_that_lost_bytes_since_is_gone_on_from_what_is_there(provider: Provider, row: Recording) -> None:
    [part] = files(row)
    with default_storage().path(part.name).open("r+b") as file:
        file.truncate(1000)
    assert again(row).recording_sha256 == provider.audio(row.recording_url or "").sha256
    assert provider.log()[1].headers["range"] == "bytes=1000-"


def test_a_whole_body_that_does_not_decode_is_asked_for_anew(provider: Provider) -> None:
    row = waiting(business_of(provider), provider, "hello-mp3", recording_priority=PRIORITY_CLICK)
    provider.misbehave("hello-mp3", "half", first=1)
    worker.drain()
    row.refresh_from_db()
    assert (row.recording_reason, files(row)) == ("cut_short", [])
    assert again(row).recording_download_status == "ready"
    assert provider.count("hello-mp3").requests == 2
