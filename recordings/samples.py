"""StatusSample: how many recordings stood in each status, minute by minute, for the plots of the last day."""

from datetime import UTC, datetime

from django.db import models
from django.db.models import QuerySet

from calls.clock import now
from calls.models import CallLog
from recordings.expressions import Stretch
from recordings.lifecycle import RecordingQuerySet

MINUTE = 60
KEPT_FOR = 8 * 24 * 3600
"""Seconds: a week, and a day to compare it with."""


class StatusSampleQuerySet(QuerySet["StatusSample"]):
    """Written by the clean-up, once a minute whoever runs it."""

    def take(self) -> None:
        """Count where all recordings stand, under this minute of the database's clock, unless somebody has already."""
        minute = Stretch(now(), MINUTE)
        if self.filter(minute=minute).exists():
            return  # counting a million rows takes a while
        counts = RecordingQuerySet(CallLog).filter(recording_url__isnull=False).counts()
        self.bulk_create([self.model(minute=minute, **counts)], ignore_conflicts=True)

    def prune(self) -> int:
        """Delete those that nobody looks at any more. How many."""
        return self.filter(minute__lt=Stretch(now(-KEPT_FOR), MINUTE)).delete()[0]


class StatusSample(models.Model):
    """The five counts of all recordings in one minute, named by its number since 1970: two can't have the same."""

    minute = models.BigIntegerField(primary_key=True)
    missing = models.BigIntegerField()
    queued = models.BigIntegerField()
    downloading = models.BigIntegerField()
    ready = models.BigIntegerField()
    failed = models.BigIntegerField()

    objects = StatusSampleQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"

    @property
    def at(self) -> datetime:
        """When the minute began."""
        return datetime.fromtimestamp(self.minute * MINUTE, UTC)
