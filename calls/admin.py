"""The admin's pages of businesses and calls. For operators, who see all companies; no page makes a query a row."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest

from calls.models import Business, CallLog, Member


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
class CallLogAdmin(ReadOnlyAdmin):
    """What happened. The import writes it; it is not edited by hand."""

    list_display = ("call_sid", "business", "direction", "from_number", "to_number", "status", "agent", "started_at")
    list_filter = ("business", "direction", "status")
    list_select_related = ("business",)
    date_hierarchy = "started_at"
    ordering = ("-started_at", "-id")
    search_fields = ("call_sid", "search_digits", "agent")
    search_help_text = "Call SID, digits of a number, or agent"
    fields = (
        "call_sid", "business", "direction", "from_number", "to_number", "status", "agent", "started_at", "duration",
        "created_at", "updated_at",
    )  # fmt: skip
    readonly_fields = fields
