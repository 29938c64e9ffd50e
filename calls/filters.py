"""Which calls are meant: search and filters, the same for the API and the page."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext_lazy as _

from calls.models import CallLog, CallStatus, Direction, RecordingStatus, digits

NO_RECORDING = "none"
RECORDING_CHOICES = [*RecordingStatus.choices, (NO_RECORDING, _("No recording"))]

_PHONE = re.compile(
    r"[0-9+()./\s\u2010-\u2015\u200e\u200f\u202a-\u202e\u2066-\u2069-]+"
)  # dashes, and direction marks of pasted text
_UNESCAPED_PLUS = re.compile(r"(?<=T)([0-9:.]+) (?=[0-9]{2}:?[0-9]{2}$)")
_YEARS = range(1970, 2200)  # what both databases hold in every time zone


class MomentField(forms.CharField):
    """A day (2026-11-23) or a time (2026-11-23T10:30:00Z): a date, or a datetime that knows its offset or not."""

    default_error_messages: ClassVar = {
        "invalid": _("Use a date such as 2026-11-23, or a time such as 2026-11-23T10:30:00Z."),
    }

    def clean(self, value: Any) -> Any:
        """The date or datetime; None when nothing was given. Raises ValidationError."""
        text = _UNESCAPED_PLUS.sub(r"\1+", super().clean(value).strip()) if value else ""
        if not text:
            return None
        try:
            found = parse_date(text) or parse_datetime(text)
        except ValueError:
            found = None
        if found is None or found.year not in _YEARS:
            raise ValidationError(self.error_messages["invalid"], code="invalid")
        return found


class MomentFilter(django_filters.Filter):  # type: ignore[misc]  # untyped
    """From or up to a moment. A day begins at midnight in the business's zone, and `until` a day includes it."""

    field_class = MomentField

    def filter(self, queryset: QuerySet[CallLog], value: date | datetime | None) -> QuerySet[CallLog]:
        """Compare with the moment in UTC."""
        if value is None:
            return queryset
        if not isinstance(value, datetime):
            day = value + timedelta(days=1) if self.lookup_expr == "lt" else value
            value = datetime.combine(day, time.min)
        if value.tzinfo is None:
            value = value.replace(tzinfo=self.parent.zone)
        return queryset.filter(**{f"{self.field_name}__{self.lookup_expr}": value.astimezone(UTC)})


class CallFilter(django_filters.FilterSet):  # type: ignore[misc]  # untyped
    """Calls by what people and programs look for. `errors` says what makes no sense; ask `is_valid()` before `qs`."""

    search = django_filters.CharFilter(method="by_search", max_length=200)
    direction = django_filters.ChoiceFilter(choices=Direction)
    status = django_filters.ChoiceFilter(choices=CallStatus)
    agent = django_filters.CharFilter(max_length=200)
    recording = django_filters.ChoiceFilter(choices=RECORDING_CHOICES, method="by_recording")
    since = MomentFilter(field_name="started_at", lookup_expr="gte")
    until = MomentFilter(field_name="started_at", lookup_expr="lt")
    updated_since = MomentFilter(field_name="updated_at", lookup_expr="gte")

    class Meta:
        model = CallLog
        fields: ClassVar[list[str]] = []

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        queryset: QuerySet[CallLog] | None = None,
        *,
        zone: ZoneInfo | None = None,
        **kwargs: Any,
    ) -> None:
        """`zone` is the business's: it says when a day begins."""
        self.zone: ZoneInfo = zone or ZoneInfo("UTC")
        super().__init__(data, queryset, **kwargs)

    def by_search(self, queryset: QuerySet[CallLog], name: str, value: str) -> QuerySet[CallLog]:
        """Digits find numbers (national and international forms meet), other words an agent, and both a call SID."""
        text = value.strip()
        if not text:
            return queryset
        found = Q(call_sid__icontains=text)
        number = digits(text)
        if number and _PHONE.fullmatch(text):
            found |= Q(search_digits__contains=number.lstrip("0") or number)
        else:
            found |= Q(agent__icontains=text)
        return queryset.filter(found)

    def by_recording(self, queryset: QuerySet[CallLog], name: str, value: str) -> QuerySet[CallLog]:
        """By the recording's status; `none` finds the calls without a recording."""
        if value == NO_RECORDING:
            return queryset.filter(recording_url__isnull=True)
        return queryset.filter(recording_download_status=value, recording_url__isnull=False)
