"""recordings/samples.py: one row a minute, whoever takes it."""

from typing import Any

import pytest

from recordings.download import sweeping
from recordings.lifecycle import RecordingQuerySet
from recordings.models import StatusSample
from recordings.samples import KEPT_FOR, MINUTE
from recordings.tests.rows import DOWNLOADING, FAILED, MISSING, QUEUED, READY, clock, recording

pytestmark = pytest.mark.django_db


def counted() -> list[dict[str, Any]]:
    return [dict(row) for row in StatusSample.objects.values("missing", "queued", "downloading", "ready", "failed")]


def test_a_sample_counts_the_recordings_by_status_under_the_minute_of_the_database() -> None:
    for status, count in ((MISSING, 1), (QUEUED, 2), (DOWNLOADING, 3), (READY, 4), (FAILED, 5)):
        for _ in range(count):
            recording(status)
    recording(url=None)
    before = clock()
    StatusSample.objects.take()
    after = clock()
    assert counted() == [{"missing": 1, "queued": 2, "downloading": 3, "ready": 4, "failed": 5}]
    assert before.replace(second=0, microsecond=0) <= StatusSample.objects.get().at <= after


def test_a_minute_has_one_sample_also_when_two_take_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recording(READY)
    count = RecordingQuerySet.counts

    def another_is_quicker(rows: RecordingQuerySet) -> dict[str, int]:
        monkeypatch.setattr(RecordingQuerySet, "counts", count)
        StatusSample.objects.take()
        recording(READY)
        return count(rows)

    monkeypatch.setattr(RecordingQuerySet, "counts", another_is_quicker)
    StatusSample.objects.take()
    minutes = list(StatusSample.objects.values_list("minute", flat=True))
    if len(minutes) == 2:  # the clock's next minute began meanwhile
        assert minutes[0] != minutes[1]
    else:
        assert [sample["ready"] for sample in counted()] == [1], "the first one stays"
        StatusSample.objects.take()
        assert StatusSample.objects.first().ready == 1  # type: ignore[union-attr]


def test_the_clean_up_takes_the_sample_and_prunes_those_of_more_than_eight_days_ago() -> None:
    recording(READY)
    minute = int(clock().timestamp()) // MINUTE
    none = {"missing": 0, "queued": 0, "downloading": 0, "ready": 0, "failed": 0}
    old, young = minute - KEPT_FOR // MINUTE - 2, minute - KEPT_FOR // MINUTE + 2
    for number in (old, young):
        StatusSample.objects.create(minute=number, **none)
    assert sweeping.clean_up() == 1
    left = list(StatusSample.objects.order_by("minute").values_list("minute", flat=True))
    assert left[0] == young
    assert left[1] in {minute, minute + 1}
    assert len(left) == 2
