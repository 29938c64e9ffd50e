"""The admin's pages of alarms: what was wrong, since when, who was told, and when it was over."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from calls.admin import ReadOnlyAdmin, moment_of
from recordings.models import Alarm, AlarmMessage


class MessageInline(admin.TabularInline):  # type: ignore[type-arg]
    """Who was told what, or why not yet."""

    model = AlarmMessage
    fields = ("state", "way", "told", "tries", "again", "error")
    readonly_fields = fields
    ordering = ("pk",)
    extra = max_num = 0
    can_delete = False

    @admin.display(description=_("told"))
    def told(self, message: AlarmMessage) -> SafeString:
        """When it was sent."""
        return moment_of(message.sent_at, seconds=True)

    @admin.display(description=_("next try"))
    def again(self, message: AlarmMessage) -> SafeString | str:
        """When it is tried again, while it has not been sent."""
        if message.given_up:
            return _("given up")  # type: ignore[return-value]  # lazy
        return moment_of(None if message.sent_at else message.next_try_at, seconds=True)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A look writes messages."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A look writes messages."""
        return False


@admin.register(Alarm)
class AlarmAdmin(ReadOnlyAdmin):
    """What was raised, the latest first; what was seen but once is nobody's alarm."""

    list_display = ("name", "business", "what", "raised", "told", "over")
    list_filter = ("name", "business")
    list_select_related = ("business",)
    ordering = ("-pk",)
    fields = ("name", "business", "what", "to_do", "began", "raised", "over")
    readonly_fields = fields
    inlines = (MessageInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alarm]:
        """With their messages, in one more query."""
        return Alarm.objects.raised().prefetch_related("messages")

    @admin.display(description=_("what"))
    def what(self, alarm: Alarm) -> SafeString:
        """In the language of the service, which need not be the reader's: it runs its own way."""
        return format_html('<span dir="auto">{}</span>', alarm.words)

    @admin.display(description=_("what to do"))
    def to_do(self, alarm: Alarm) -> SafeString:
        """The same."""
        return format_html('<span dir="auto">{}</span>', alarm.do)

    @admin.display(description=_("since"))
    def began(self, alarm: Alarm) -> SafeString:
        """When it began, as far as is known."""
        return moment_of(alarm.began, seconds=True)

    @admin.display(description=_("raised"), ordering="raised_at")
    def raised(self, alarm: Alarm) -> SafeString:
        """When it was raised."""
        return moment_of(alarm.raised_at, seconds=True)

    @admin.display(description=_("over"), ordering="cleared_at")
    def over(self, alarm: Alarm) -> SafeString:
        """When it was over."""
        return moment_of(alarm.cleared_at, seconds=True)

    @admin.display(description=_("told"))
    def told(self, alarm: Alarm) -> SafeString:
        """How and when; a dash for what was not sent yet."""
        in_order = sorted(alarm.messages.all(), key=lambda message: message.pk)
        lines = [(each.get_way_display(), each.get_state_display(), moment_of(each.sent_at)) for each in in_order]
        return (
            format_html_join(mark_safe("<br>"), "{}, {}: {}", lines)
            if lines
            else format_html("{}", _("only in the log"))
        )
