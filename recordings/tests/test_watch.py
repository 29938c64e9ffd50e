"""When `serve` gives a cluster up though nothing of it has died."""

from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from calls.clock import now
from calls.models import CallLog
from recordings import bell
from recordings.models import Attempt, ProviderAccount, Recording
from recordings.storage import MARKER, default_storage
from recordings.tests.rows import QUEUED, pass_time, recording
from recordings.watch import CHILDHOOD, SILENCE, WAITED, ClusterWatch

pytestmark = pytest.mark.django_db

GROWN_UP = CHILDHOOD + 1


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pusher has been silent for long."""
    monkeypatch.setattr(bell, "silent_for", lambda: SILENCE + 5)


@pytest.fixture(autouse=True)
def alive(settings: Any, tmp_path: Path) -> Path:
    """The pusher's sign of life, just given."""
    settings.RUN_DIR, settings.RECORDINGS_ROOT = tmp_path, tmp_path / "recordings"
    settings.RECORDINGS_MIN_FREE_BYTES = 0
    default_storage().prepare()
    sign = bell.sign_of_life()
    sign.touch()
    return sign


def old_hand() -> ClusterWatch:
    """One that has had answers from the database for long."""
    watch = ClusterWatch()
    watch._answers_since = -1e9
    return watch


def verdict(looks: int = 2) -> str:
    watch = old_hand()
    for _ in range(looks):
        watch.look()
    why = watch.trouble(GROWN_UP)
    return f"{why.kind}: {why.words}" if why else ""


def waiting_for_long() -> None:
    recording(QUEUED)
    pass_time(WAITED + 1)


def test_a_queue_without_a_sign_of_life_is_given_up_at_the_second_look(silent: None) -> None:
    assert verdict(looks=1) == ""
    assert verdict() == "silent: its queue gave no sign of life for 50 s"


def test_what_waits_while_nobody_begins_gives_the_cluster_up() -> None:
    waiting_for_long()
    assert verdict() == "still: recordings wait, and none was begun for 10 s"


def test_a_cluster_that_begins_something_is_well_however_much_waits() -> None:
    waiting_for_long()
    begun = recording(QUEUED)
    Recording.objects.filter(pk=begun.pk).start(1, worker="w")
    CallLog.objects.filter(recording_download_status="downloading").update(recording_lease_until=now(30))
    assert Attempt.objects.count() == 1
    assert verdict() == ""


def test_what_must_wait_says_nothing_against_the_cluster(settings: Any) -> None:
    waiting_for_long()
    ProviderAccount.objects.update(paused_until=now(60))
    assert verdict() == "", "its account was asked to wait"
    ProviderAccount.objects.update(paused_until=None)
    settings.RECORDINGS_SLOTS = 4
    held = [recording(QUEUED) for _ in range(3)]
    for row in held:
        Recording.objects.filter(pk=row.pk).start(1, worker="w")
    Attempt.objects.update(started_at=now(-60))
    assert verdict() == "", "all slots are taken"
    CallLog.objects.filter(recording_download_status="downloading").delete()
    assert verdict() != ""
    (default_storage().root / MARKER).unlink()
    assert verdict() == "", "the storage is away"


def test_a_young_cluster_is_given_time_and_an_old_verdict_is_forgotten(
    silent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = old_hand()
    watch.look()
    watch.look()
    assert watch.trouble(CHILDHOOD - 1) is None
    assert watch.trouble(GROWN_UP) is not None
    monkeypatch.setattr(bell, "silent_for", lambda: 1.0)
    watch.look()
    assert watch.trouble(GROWN_UP) is None


def test_silence_while_the_database_was_away_says_nothing_against_the_cluster(
    silent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = old_hand()
    with monkeypatch.context() as patch:
        patch.setattr("recordings.leases.LeaseQuerySet.may_start", away)
        with pytest.raises(OperationalError):
            watch.look()
    watch.look()
    watch.look()
    assert watch.trouble(GROWN_UP) is None, "it has answered for a moment only"
    assert verdict() != ""


def away(self: Any) -> bool:
    raise OperationalError("away")
