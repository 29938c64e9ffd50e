"""Recording, the audio side of a call, under the verbs of its life; beside it the other models of this app."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from calls.models import CallLog
from recordings.accounts import ProviderAccount
from recordings.alarms.record import Alarm, AlarmMessage
from recordings.attempts import Attempt, Outcome
from recordings.lifecycle import RecordingQuerySet
from recordings.samples import StatusSample

__all__ = ["Alarm", "AlarmMessage", "Attempt", "Outcome", "ProviderAccount", "Recording", "StatusSample"]


class RecordingManager(models.Manager["Recording"].from_queryset(RecordingQuerySet)):  # type: ignore[misc]
    """Calls that have a recording."""

    def get_queryset(self) -> RecordingQuerySet:
        """Only rows with an address to fetch from."""
        return super().get_queryset().filter(recording_url__isnull=False)  # type: ignore[no-any-return]


class Recording(CallLog):
    """The audio of a call, under the verbs of its life."""

    objects: ClassVar[RecordingManager] = RecordingManager()

    class Meta:
        proxy = True
        verbose_name = _("recording")
        verbose_name_plural = _("recordings")
