"""The admin's pages of recordings. Statuses change through the verbs only."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from calls.admin import CallColumns, ReadOnlyAdmin, isolated
from calls.models import CallLog
from recordings import account_admin, alarm_admin, queue_admin  # noqa: F401  (they register themselves)
from recordings.attempt_admin import AttemptInline, in_words, sentence_of
from recordings.bulk_admin import asked, counts_of, released
from recordings.lifecycle import Ask
from recordings.models import Recording
from recordings.now_admin import NowPages
from recordings.reasons import Reason


class ReasonFilter(admin.SimpleListFilter):
    """By the reason of a failure: in words, and its code, which is what logs and commands call it."""

    title = _("reason")
    parameter_name = "recording_reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All reasons there are."""
        return [(reason, f"{sentence_of(reason)} ({reason})") for reason in Reason.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CallLog]) -> QuerySet[CallLog]:
        """Exactly this one."""
        return queryset.filter(recording_reason=self.value()) if self.value() else queryset


@admin.register(Recording)
class RecordingAdmin(NowPages, CallColumns, ReadOnlyAdmin):
    """Where each recording stands, why, and what was tried; the actions ask again."""

    list_display = ("sid", "business", "recording_download_status", "fate", "began")
    list_filter = ("recording_download_status", ReasonFilter, "business")
    list_select_related = ("business",)
    date_hierarchy = "started_at"
    ordering = ("-started_at", "-id")
    search_fields = ("call_sid", "recording_sid", "search_digits")
    search_help_text = _("Call SID, recording SID, or digits of a number")
    actions = ("download", "retry", "reset_stuck")
    inlines = (AttemptInline,)
    fieldsets: ClassVar = [
        (None, {"fields": ("call_sid", "business", "started_at", "duration", "caller", "called", "agent")}),
        (_("Where it stands"), {"fields": (
            "recording_download_status", "why", "recording_permanent", "recording_fail_count",
            "recording_crash_count", "recording_next_retry_at", "recording_last_enqueue_at", "recording_priority",
            "recording_started_at", "recording_lease_until", "recording_token",
        )}),
        (_("Audio"), {"fields": (
            "address", "recording_sid", "recording_file", "recording_bytes", "recording_bytes_total",
            "recording_content_type", "recording_duration", "recording_sha256", "recording_ready_at",
        )}),
    ]  # fmt: skip
    readonly_fields = tuple(str(name) for _title, options in fieldsets for name in options["fields"])

    @admin.display(description=_("address"))
    def address(self, row: CallLog) -> SafeString:
        """Without its query: a signature there opens the audio to whoever reads it."""
        address, mark, _query = (row.recording_url or "").partition("?")
        return isolated(address + mark + "…" if mark else address)

    @admin.display(description=_("reason"), ordering="recording_reason")
    def why(self, row: CallLog) -> str | SafeString:
        """Why it failed."""
        return in_words(row.recording_reason)

    @admin.display(description=_("reason"), ordering="recording_reason")
    def fate(self, row: CallLog) -> str | SafeString:
        """Why it failed and, where it is tried again by itself, when: within minutes, so that the clock is enough."""
        if row.recording_next_retry_at is None:
            return in_words(row.recording_reason)
        again = gettext("again at %(time)s") % {"time": f"{row.recording_next_retry_at:%H:%M:%S}"}
        return format_html('{} <span class="nowrap">· {}</span>', in_words(row.recording_reason), again)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the counts by status and reason of what the filters leave, in one query."""
        response = super().changelist_view(request, extra_context)
        changelist = getattr(response, "context_data", None) and response.context_data.get("cl")  # type: ignore[attr-defined]
        if changelist:
            response.context_data["counts"] = counts_of(changelist.queryset)  # type: ignore[attr-defined]
        return response

    # --- actions: what is asked, confirmed, done through the verbs, and counted

    @admin.action(description=_("Download the selected recordings"), permissions=["change"])
    def download(self, request: HttpRequest, queryset: QuerySet[CallLog]) -> HttpResponse | None:
        """As a person's POST: beats a backoff, starts a given-up one anew."""
        question = _("Download these now? Ready ones stay as they are; permanent failures are left alone.")
        return self._confirmed(request, queryset, question, lambda pks: asked(pks, Ask.PERSON))

    @admin.action(description=_("Retry the selected recordings, permanent failures too"), permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[CallLog]) -> HttpResponse | None:
        """As a manager's force: beats a permanent failure too, save a deletion."""
        question = _("Retry these now, permanent failures too? Deleted ones stay deleted.")
        return self._confirmed(request, queryset, question, lambda pks: asked(pks, Ask.FORCE))

    @admin.action(description=_("Reset the selected recordings that are stuck"), permissions=["change"])
    def reset_stuck(self, request: HttpRequest, queryset: QuerySet[CallLog]) -> HttpResponse | None:
        """Release those without a heartbeat, as the sweep does."""
        question = _("Put those whose worker gave no sign for 30 seconds back into the queue? Working ones go on.")
        return self._confirmed(request, queryset, question, released)

    def _confirmed(
        self, request: HttpRequest, queryset: QuerySet[CallLog], question: Any, act: Callable[[list[int]], str]
    ) -> HttpResponse | None:
        """The confirmation page; once it was confirmed, do it and say what was done."""
        if "confirmed" in request.POST:
            pks = list(queryset.order_by("pk").values_list("pk", flat=True))
            self.message_user(request, act(pks), messages.SUCCESS)
            return None
        counts = counts_of(queryset)
        if not counts["total"]:
            words = _("None of what you selected is in this list any more; nothing was done.")
            self.message_user(request, words, messages.WARNING)
            return None
        context = self.admin_site.each_context(request) | {
            "opts": self.model._meta,
            "title": _("Are you sure?"),
            "question": question,
            "counts": counts,
            "action": request.POST["action"],
            "select_across": request.POST.get("select_across", "0"),
            "selected": request.POST.getlist("_selected_action"),
        }
        return TemplateResponse(request, "admin/recordings/recording/confirm.html", context)
