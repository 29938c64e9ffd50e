"""What happened: a business, its members, its calls. Nothing here knows how a recording is fetched or played."""

import re
import zoneinfo
from typing import ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from calls.clock import now

CALL_SID_PATTERN = r"[A-Za-z0-9_.-]{1,64}"
RECORDING_TOKEN_LENGTH = 32

# Highest first: what a person waits for is claimed before what nobody waits for.
PRIORITY_BULK, PRIORITY_CLICK = 0, 1


class RecordingStatus(models.TextChoices):
    """Where the download of a call's recording stands (docs/lifecycle.md)."""

    MISSING = "missing", _("Not downloaded")
    QUEUED = "queued", _("Waiting")
    DOWNLOADING = "downloading", _("Downloading")
    READY = "ready", _("Ready")
    FAILED = "failed", _("Failed")


class CallStatus(models.TextChoices):
    """How the call itself went, in the provider's words (Twilio's Call resource, property `status`)."""

    QUEUED = "queued", _("Queued")
    RINGING = "ringing", _("Ringing")
    IN_PROGRESS = "in-progress", _("In progress")
    COMPLETED = "completed", _("Completed")
    BUSY = "busy", _("Busy")
    FAILED = "failed", _("Failed")
    NO_ANSWER = "no-answer", _("No answer")
    CANCELED = "canceled", _("Cancelled")


class Direction(models.TextChoices):
    """Who called whom."""

    INBOUND = "inbound", _("Inbound")
    OUTBOUND = "outbound", _("Outbound")


def validate_timezone(name: str) -> None:
    """Raise ValidationError unless `name` is an IANA time zone."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError(
            _("“%(name)s” is not a time zone. Use a name such as Asia/Jerusalem."), params={"name": name}
        )


def digits(number: str) -> str:
    """The digits of a phone number, by which numbers are found: "+972 54-123" and "97254123" are one."""
    return re.sub(r"[^0-9]", "", number)


class Business(models.Model):
    """A company whose calls these are; what it owns, no other business sees."""

    slug = models.SlugField(_("slug"), unique=True)
    name = models.CharField(_("name"), max_length=200)
    timezone = models.CharField(
        _("time zone"),
        max_length=64,
        default="UTC",
        validators=[validate_timezone],
        help_text=_("Governs the dates on the pages of this business."),
    )

    class Meta:
        verbose_name = _("business")
        verbose_name_plural = _("businesses")
        ordering: ClassVar = ["slug"]

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The time zone of this business."""
        return zoneinfo.ZoneInfo(self.timezone)


class Member(models.Model):
    """A user's place in one business."""

    class Role(models.TextChoices):
        """What a member may do: a listener plays; a manager also forces retries."""

        LISTENER = "listener", _("Listener")
        MANAGER = "manager", _("Manager")

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="member", verbose_name=_("user"))
    business = models.ForeignKey(Business, models.CASCADE, related_name="members", verbose_name=_("business"))
    role = models.CharField(_("role"), max_length=16, choices=Role, default=Role.LISTENER)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")

    def __str__(self) -> str:
        return f"{self.user} ({self.get_role_display()}, {self.business})"

    @property
    def is_manager(self) -> bool:
        """Whether this member may also force retries."""
        return self.role == self.Role.MANAGER


class CallLog(models.Model):
    """One leg of a call. It has a recording when `recording_url` is not null.

    The `recording_…` columns are written by the verbs of `recordings.lifecycle` alone, save that the import writes
    `recording_url` and `recording_sid`.
    """

    business = models.ForeignKey(Business, models.CASCADE, related_name="calls", verbose_name=_("business"))
    call_sid = models.CharField(
        _("call SID"),
        max_length=64,
        validators=[RegexValidator(rf"\A{CALL_SID_PATTERN}\Z", _("1 to 64 of A–Z, a–z, 0–9, _, - and ."))],
    )
    direction = models.CharField(_("direction"), max_length=8, choices=Direction, default=Direction.INBOUND)
    from_number = models.CharField(_("from"), max_length=64, blank=True)
    to_number = models.CharField(_("to"), max_length=64, blank=True)
    search_digits = models.CharField(max_length=136, blank=True, editable=False)
    status = models.CharField(_("call status"), max_length=16, choices=CallStatus, default=CallStatus.COMPLETED)
    agent = models.CharField(_("agent"), max_length=200, blank=True)
    started_at = models.DateTimeField(_("started"))
    duration = models.PositiveIntegerField(_("duration (s)"), null=True, blank=True)
    created_at = models.DateTimeField(db_default=now(), editable=False)
    updated_at = models.DateTimeField(db_default=now(), editable=False)

    recording_url = models.CharField(_("recording address"), max_length=2000, null=True, blank=True)
    recording_sid = models.CharField(_("recording SID"), max_length=64, null=True, blank=True)
    recording_download_status = models.CharField(
        _("recording"),
        max_length=12,
        choices=RecordingStatus,
        default=RecordingStatus.MISSING,
        db_default=RecordingStatus.MISSING,
    )
    recording_priority = models.SmallIntegerField(
        _("priority"), default=PRIORITY_BULK, db_default=PRIORITY_BULK, editable=False
    )
    recording_last_enqueue_at = models.DateTimeField(_("last enqueued"), null=True, editable=False)
    recording_started_at = models.DateTimeField(_("download started"), null=True, editable=False)
    recording_token = models.CharField(_("token"), max_length=RECORDING_TOKEN_LENGTH, null=True, editable=False)
    recording_lease_until = models.DateTimeField(_("lease until"), null=True, editable=False)
    recording_fail_count = models.PositiveSmallIntegerField(_("failures"), default=0, db_default=0, editable=False)
    recording_crash_count = models.PositiveSmallIntegerField(_("crashes"), default=0, db_default=0, editable=False)
    recording_next_retry_at = models.DateTimeField(_("next retry"), null=True, editable=False)
    recording_reason = models.CharField(
        _("reason"), max_length=24, blank=True, default="", db_default="", editable=False
    )
    recording_permanent = models.BooleanField(_("permanent"), default=False, db_default=False, editable=False)
    recording_bytes_total = models.BigIntegerField(_("bytes announced"), null=True, editable=False)
    recording_content_type = models.CharField(
        _("content type"), max_length=32, blank=True, default="", db_default="", editable=False
    )
    recording_version = models.BigIntegerField(_("content version"), null=True, editable=False)
    recording_file = models.CharField(_("file"), max_length=64, blank=True, default="", db_default="", editable=False)
    recording_bytes = models.BigIntegerField(_("bytes"), null=True, editable=False)
    recording_sha256 = models.CharField("SHA-256", max_length=64, blank=True, default="", db_default="", editable=False)
    recording_duration = models.FloatField(_("recording duration (s)"), null=True, editable=False)
    recording_ready_at = models.DateTimeField(_("ready since"), null=True, editable=False)

    class Meta:
        db_table = "call_log"
        verbose_name = _("call")
        verbose_name_plural = _("calls")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["business", "call_sid"], name="call_sid_once_a_business"),
            models.CheckConstraint(
                condition=Q(recording_download_status__in=RecordingStatus.values), name="recording_status_known"
            ),
            models.CheckConstraint(
                condition=Q(recording_priority__in=[PRIORITY_BULK, PRIORITY_CLICK]), name="recording_priority_known"
            ),
            # Implications only, so that an operator's `SET recording_download_status = 'missing'` on a stuck row works.
            models.CheckConstraint(
                condition=~Q(recording_download_status="downloading")
                | Q(recording_token__isnull=False, recording_lease_until__isnull=False),
                name="downloading_has_a_lease",
            ),
            models.CheckConstraint(
                condition=~Q(recording_download_status="ready") | ~Q(recording_file=""), name="ready_has_a_file"
            ),
            models.CheckConstraint(
                condition=Q(recording_download_status__in=["missing", "failed"]) | Q(recording_url__isnull=False),
                name="download_has_an_address",
            ),
            models.CheckConstraint(
                condition=Q(recording_permanent=False) | Q(recording_next_retry_at__isnull=True),
                name="permanent_has_no_retry",
            ),
        ]
        indexes: ClassVar = [
            models.Index("business", F("started_at").desc(), F("id").desc(), name="call_newest"),
            models.Index("business", "updated_at", "id", name="call_updated"),
            models.Index(
                "business",
                "recording_download_status",
                F("started_at").desc(),
                F("id").desc(),
                name="call_by_recording",
            ),
            models.Index("business", "agent", F("started_at").desc(), F("id").desc(), name="call_by_agent"),
            # The queue and what the sweep looks at: small whatever the table's size.
            models.Index(
                "recording_priority",
                "business",
                "recording_last_enqueue_at",
                "id",
                name="recording_line",
                condition=Q(recording_download_status="queued"),
            ),
            models.Index(
                "recording_lease_until",
                name="recording_downloading",
                condition=Q(recording_download_status="downloading"),
            ),
            models.Index(
                "recording_next_retry_at",
                name="recording_retry",
                condition=Q(recording_download_status="failed", recording_next_retry_at__isnull=False),
            ),
            # Counts by status and reason. The reason stands first, so that no look-up of a status prefers this index.
            models.Index(
                "recording_reason",
                "recording_download_status",
                name="recording_counts",
                condition=Q(recording_url__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.call_sid

    def save(self, *args: object, **kwargs: object) -> None:
        """Keep the searched digits with the numbers."""
        self.search_digits = search_digits(self.from_number, self.to_number)
        super().save(*args, **kwargs)  # type: ignore[arg-type]


def search_digits(from_number: str, to_number: str) -> str:
    """What `CallLog.search_digits` holds for these two numbers."""
    return f"{digits(from_number)} {digits(to_number)}"
