"""The admin's pages of businesses and calls. For operators, who see all companies; no page makes a query a row."""

from datetime import datetime
from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from calls.models import Business, CallLog, Member

admin.site.site_title = admin.site.site_header = "prosaasil"
_ENDS = 4


def isolated(text: object) -> SafeString:
    """A number, a SID or an address, which reads from left to right in Hebrew too."""
    return format_html('<bdi dir="ltr">{}</bdi>', text or "-")


def short(sid: str) -> SafeString:
    """A SID for a list: its ends, and all of it under the pointer."""
    cut = sid if len(sid) <= 2 * _ENDS + 2 else f"{sid[:_ENDS]}…{sid[-_ENDS:]}"
    return format_html('<bdi dir="ltr" class="nowrap" title="{}">{}</bdi>', sid, cut)


def moment_of(moment: datetime | None, *, seconds: bool = False) -> SafeString:
    """A time in few characters, which sort as they read."""
    if moment is None:
        return isolated("")
    clock = f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"
    return format_html('<bdi dir="ltr"><span class="nowrap">{}</span> {}</bdi>', f"{moment:%Y-%m-%d}", clock)


class CallColumns:
    """Columns of a call that are the same wherever it is shown."""

    @admin.display(description=_("call SID"), ordering="call_sid")
    def sid(self, call: CallLog) -> SafeString:
        """Short, for lists."""
        return short(call.call_sid)

    @admin.display(description=_("from"), ordering="from_number")
    def caller(self, call: CallLog) -> SafeString:
        """Who called."""
        return isolated(call.from_number)

    @admin.display(description=_("to"), ordering="to_number")
    def called(self, call: CallLog) -> SafeString:
        """Who was called."""
        return isolated(call.to_number)

    @admin.display(description=_("started"), ordering="started_at")
    def began(self, call: CallLog) -> SafeString:
        """When, short, for lists."""
        return moment_of(call.started_at)


class MemberInline(admin.TabularInline):  # type: ignore[type-arg]
    """The users of a business."""

    model = Member
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Business)
class BusinessAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Companies and their members. recordings/admin.py adds the provider's account."""

    list_display = ("name", "slug", "timezone")
    search_fields = ("name", "slug")
    inlines: ClassVar = [MemberInline]
    show_full_result_count = False


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # of any model
    """Rows that are looked at and never written here. `change` still decides who may run a list's actions."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody deletes here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """No single row is changed."""
        return obj is None and super().has_change_permission(request)


@admin.register(CallLog)
class CallLogAdmin(CallColumns, ReadOnlyAdmin):
    """What happened. The import writes it; it is not edited by hand."""

    list_display = ("sid", "business", "caller", "called", "agent", "began")
    list_filter = ("business", "direction", "status")
    list_select_related = ("business",)
    date_hierarchy = "started_at"
    ordering = ("-started_at", "-id")
    search_fields = ("call_sid", "search_digits", "agent")
    search_help_text = _("Call SID, digits of a number, or agent")
    fields = (
        "call_sid", "business", "direction", "caller", "called", "status", "agent", "started_at", "duration",
        "created_at", "updated_at",
    )  # fmt: skip
    readonly_fields = fields
