"""A download that was interrupted goes on where it stopped, and only with bytes of the same content."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from django.db import DatabaseError
from pytest_django import Settings

from calls.models import PRIORITY_CLICK
from demo import library
from demo.provider import Provider
from recordings.announcement import announce
from recordings.attempts import Attempt, Outcome
from recordings.download import resuming, worker
from recordings.download.adopting import Earlier
from recordings.download.attempt import Job
from recordings.download.errors import (
    CutShort,
    NotAudio,
    ProviderError,
    Stalled,
    StorageError,
    StorageFull,
    TooLarge,
    Unreachable,
)
from recordings.download.providers.http import Stopped, Transfer
from recordings.lifecycle import Ask
from recordings.models import Recording
from recordings.results import Begun, Held
from recordings.storage import Storage, StoredFile, default_storage
from recordings.tests.downloads import business_of, provider_and_storage, waiting
from recordings.tests.rows import DOWNLOADING, held, read, recording

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


# --- what can be gone on from


A, B, C = "a" * 32, "b" * 32, "c" * 32
ADDRESS, VALIDATOR, VERSION = "5" * 64, '"v"', 1_700_000_000


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path / "storage")
    storage.prepare()
    return storage


def leave(storage: Storage, **sizes: int) -> None:
    """Dead attempts' parts: so many bytes by token."""
    for token, size in sizes.items():
        with storage.begin(7, token) as part:
            part.write(bytes(size))


def knew(total: int | None = 100, digest: str = ADDRESS, validator: str = VALIDATOR) -> Earlier:
    return Earlier(digest, total, validator, None if total is None else VERSION)


def goes_on_from(storage: Storage, earlier: dict[str, Earlier]) -> tuple[str, int] | None:
    left = resuming.leftover(storage, 7, ADDRESS, earlier)
    if left is None:
        return None
    assert (left.version, left.rest.total, left.rest.validator) == (VERSION, 100, VALIDATOR)
    assert left.is_whole == (left.rest.start == 100)
    return left.file.token, left.rest.start


@pytest.mark.once
@pytest.mark.parametrize(("size", "taken"), [(0, False), (1, True), (99, True), (100, True), (101, False)])
def test_a_part_is_gone_on_from_while_it_is_no_longer_than_was_announced(
    storage: Storage, size: int, taken: bool
) -> None:
    leave(storage, **{A: size})
    assert goes_on_from(storage, {A: knew()}) == ((A, size) if taken else None)


@pytest.mark.once
@pytest.mark.parametrize("sizes", [(30, 20, 10), (10, 30, 20), (20, 10, 30)])
def test_of_several_parts_the_longest_is_gone_on_from(storage: Storage, sizes: tuple[int, ...]) -> None:
    by_token = dict(zip((A, B, C), sizes, strict=True))
    leave(storage, **by_token)
    longest = max(by_token, key=by_token.__getitem__)
    assert goes_on_from(storage, dict.fromkeys(by_token, knew())) == (longest, 30)


@pytest.mark.once
@pytest.mark.parametrize("other", [knew(total=40), knew(digest="6" * 64), knew(validator=""), knew(total=None), None])
def test_a_longer_part_that_cannot_be_used_stands_in_nobodys_way(storage: Storage, other: Earlier | None) -> None:
    leave(storage, **{A: 50, B: 10})
    earlier = {B: knew()} if other is None else {A: other, B: knew()}
    assert goes_on_from(storage, earlier) == (B, 10)


@pytest.mark.once
def test_a_part_whose_writer_lives_is_neither_gone_on_from_nor_removed(storage: Storage) -> None:
    earlier = {A: knew(), B: knew()}
    leave(storage, **{B: 10})
    with storage.begin(7, A) as part:
        part.write(bytes(50))
        assert goes_on_from(storage, earlier) == (B, 10)
        resuming.clear(storage, 7, earlier)
        assert goes_on_from(storage, earlier) is None
    assert goes_on_from(storage, earlier) == (A, 50)


@pytest.mark.once
@pytest.mark.parametrize(
    ("error", "may"),
    [
        (Stopped(), True), (CutShort(), True), (Stalled(), True), (Unreachable(), True),
        (ProviderError(), False), (TooLarge(), False), (NotAudio(), False), (StorageFull(), False),
        (StorageError(), False), (ZeroDivisionError(), False), (KeyboardInterrupt(), False),
    ],
    ids=lambda value: str(value) if isinstance(value, bool) else type(value).__name__,
)  # fmt: skip
def test_what_was_interrupted_may_go_on_and_what_failed_otherwise_may_not(
    storage: Storage, error: BaseException, may: bool
) -> None:
    transfer = Transfer(60, 1000)
    with storage.begin(7, A) as part:
        transfer.validator, transfer.bytes_total = VALIDATOR, 100
        assert not resuming.may_go_on(error, transfer, part), "nothing has come"
        part.write(b"1")
        assert resuming.may_go_on(error, transfer, part) is may
        transfer.validator = None
        assert not resuming.may_go_on(error, transfer, part), "nothing tells whether the rest is the rest of this"
        transfer.validator, transfer.bytes_total = VALIDATOR, None
        assert not resuming.may_go_on(error, transfer, part), "nor where it would end"


# --- what is told of it while it comes


def test_what_the_database_did_not_take_is_told_at_the_next_turn(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RUN_DIR = tmp_path
    told: list[list[Held]] = []

    def at_first_away(begun: Sequence[Begun]) -> int:
        told.append([one.held for one in begun])
        if len(told) == 1:
            raise DatabaseError("The database is away.")
        return announce(begun)

    monkeypatch.setattr(worker, "announce", at_first_away)
    arriving = recording(DOWNLOADING)
    transfer = Transfer(60, 1000)
    transfer.content_type, transfer.bytes_total = "audio/wav", 100
    transfer.validator, transfer.version = '"' + "v" * 300, VERSION
    job = Job(held(arriving), arriving.call_sid, arriving.business_id, "", None, None, None, transfer, click=True)
    drain = worker.Drain(*cast("tuple[Any, Any, Any]", (None, None, None)))
    drain._jobs[job.held] = job

    with pytest.raises(DatabaseError):
        drain._announce()
    assert read(arriving).recording_bytes_total is None
    drain._announce()
    now = read(arriving)
    assert (now.recording_bytes_total, now.recording_content_type) == (100, "audio/wav")
    assert now.recording_version == VERSION
    assert list(Attempt.objects.values_list("bytes_total", "version", "validator")) == [(100, VERSION, '"' + "v" * 199)]
    drain._announce()
    assert told == [[job.held]] * 2, "once it was taken, it is not told again"
