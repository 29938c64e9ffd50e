"""Attempt: one try at a download, kept as the record of what was tried, by whom, and how it ended."""

from functools import partial
from typing import ClassVar

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from calls.clock import now
from calls.models import RECORDING_TOKEN_LENGTH, CallLog
from recordings import counting


class Outcome(models.TextChoices):
    """How an attempt ended."""

    RUNNING = "running", _("Running")
    READY = "ready", _("Downloaded")
    ADOPTED = "adopted", _("The file was there already")
    FAILED = "failed", _("Failed")
    GIVEN_BACK = "given_back", _("Given back")
    CRASHED = "crashed", _("Crashed")


class AttemptQuerySet(QuerySet["Attempt"]):
    """Adjectives and verbs of attempts; the life cycle's verbs call them in their own transaction."""

    def running(self) -> "AttemptQuerySet":
        """Attempts that have not ended."""
        return self.filter(outcome=Outcome.RUNNING)

    def fenced_off(self) -> "AttemptQuerySet":
        """Running attempts that lost their right to write: their token is no longer their recording's."""
        own = CallLog.objects.filter(
            pk=OuterRef("recording_id"), recording_token=OuterRef("token"), recording_download_status="downloading"
        )
        return self.running().filter(~Exists(own))

    def close(self, outcome: Outcome, **facts: object) -> int:
        """End these running attempts now, with `facts` about the end."""
        ended = self.running().update(outcome=outcome, ended_at=now(), **facts)
        if ended:
            reason = str(facts.get("reason", ""))
            transaction.on_commit(partial(counting.ATTEMPTS.add, outcome.value, reason, amount=ended))
        return ended


class Attempt(models.Model):
    """One try at a download. `token` names it among its recording's attempts and fences off the older ones."""

    recording = models.ForeignKey(CallLog, models.CASCADE, related_name="attempts", verbose_name=_("recording"))
    token = models.CharField(_("token"), max_length=RECORDING_TOKEN_LENGTH)
    worker = models.CharField(_("worker"), max_length=120, blank=True)
    url_digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the address asked for.")
    started_at = models.DateTimeField(_("started"), db_default=now())
    ended_at = models.DateTimeField(_("ended"), null=True)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome, default=Outcome.RUNNING)
    reason = models.CharField(_("reason"), max_length=24, blank=True, default="")
    detail = models.CharField(_("detail"), max_length=500, blank=True, default="")
    http_status = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    bytes_done = models.BigIntegerField(_("bytes"), null=True)
    bytes_total = models.BigIntegerField(_("bytes announced"), null=True)
    validator = models.CharField(max_length=200, blank=True, default="", help_text="ETag or Last-Modified.")
    version = models.BigIntegerField(null=True, help_text="Which content it wrote: a Unix time.")
    next_retry_at = models.DateTimeField(_("next retry"), null=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["recording", "token"], name="token_once_a_recording"),
            models.CheckConstraint(
                condition=Q(outcome="running", ended_at__isnull=True)
                | (~Q(outcome="running") & Q(ended_at__isnull=False)),
                name="ended_when_not_running",
            ),
        ]
        indexes: ClassVar = [
            models.Index("token", name="attempt_running", condition=Q(outcome="running")),
            models.Index("ended_at", "outcome", name="attempt_ended"),  # both: the plots are drawn from it alone
        ]

    def __str__(self) -> str:
        return f"{self.recording_id}/{self.token[:8]} {self.outcome}"
