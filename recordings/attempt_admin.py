"""The admin's pages of attempts: what was tried, when, and why it failed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from calls.admin import ReadOnlyAdmin, isolated, moment_of, short
from recordings.models import Attempt
from recordings.reasons import Reason


def in_words(reason: str) -> str | SafeString:
    """A reason as a person reads it, its code under the pointer."""
    if reason not in Reason.values:
        return reason or "-"
    return format_html('<span title="{}">{}</span>', reason, sentence_of(reason))


def sentence_of(reason: str) -> str:
    """The first sentence of a reason's words, without its full stop; the code where it has no words."""
    if reason not in Reason.values:
        return reason or "-"
    return str(Reason(reason).label).partition(". ")[0].rstrip(".")


class AttemptColumns:
    """Columns of an attempt: times to the second, since many end within a minute."""

    @admin.display(description=_("started"), ordering="started_at")
    def began(self, attempt: Attempt) -> SafeString:
        """When it began."""
        return moment_of(attempt.started_at, seconds=True)

    @admin.display(description=_("ended"), ordering="ended_at")
    def finished(self, attempt: Attempt) -> SafeString:
        """When it ended."""
        return moment_of(attempt.ended_at, seconds=True)

    @admin.display(description=_("next retry"))
    def again(self, attempt: Attempt) -> SafeString:
        """When the next one is due."""
        return moment_of(attempt.next_retry_at, seconds=True)

    @admin.display(description=_("reason"), ordering="reason")
    def why(self, attempt: Attempt) -> str | SafeString:
        """Why it failed."""
        return in_words(attempt.reason)

    @admin.display(description=_("detail"))
    def told(self, attempt: Attempt) -> SafeString:
        """What the provider or our storage said: English."""
        return format_html('<bdi lang="en">{}</bdi>', attempt.detail or "-")

    @admin.display(description=_("worker"))
    def by(self, attempt: Attempt) -> SafeString:
        """Host and process."""
        return isolated(attempt.worker)


class AttemptInline(AttemptColumns, admin.TabularInline):  # type: ignore[type-arg]
    """What was tried for one recording, the latest first."""

    model = Attempt
    fields = ("began", "finished", "outcome", "why", "told", "http_status", "bytes_done", "again", "by")
    readonly_fields = fields
    ordering = ("-id",)
    extra = max_num = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Workers write attempts."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Workers write attempts."""
        return False


@admin.register(Attempt)
class AttemptAdmin(AttemptColumns, ReadOnlyAdmin):
    """All that was tried, the latest first."""

    list_display = ("call", "business", "outcome", "why", "http_status", "began", "by")
    list_filter = ("outcome", "reason")
    list_select_related = ("recording__business",)
    search_fields = ("=token", "recording__call_sid")
    ordering = ("-id",)
    fields = (*AttemptInline.fields[:1], "recording", *AttemptInline.fields[1:], "bytes_total", "validator", "token")
    readonly_fields = fields

    @admin.display(description=_("call SID"))
    def call(self, attempt: Attempt) -> SafeString:
        """Whose audio it was."""
        return short(attempt.recording.call_sid)

    @admin.display(description=_("business"))
    def business(self, attempt: Attempt) -> str:
        """Whose recording it was."""
        return str(attempt.recording.business)
