"""Addresses under /api/. A slash at the end may be there or not; the one without a name is not in the schema."""

from typing import Any

from django.urls import URLPattern, path, re_path, register_converter
from django.urls.converters import StringConverter

from calls.models import CALL_SID_PATTERN
from recordings.api.base import ApiView
from recordings.api.calls import CallsView, CallView
from recordings.api.download import DownloadView
from recordings.api.events import EventsView
from recordings.api.peaks import PeaksView
from recordings.api.schema import DocsView, SchemaView, UnknownView
from recordings.api.status import StatusesView, StatusView
from recordings.api.stream import StreamView


class CallSidConverter(StringConverter):
    """What may be a call SID."""

    regex = CALL_SID_PATTERN


register_converter(CallSidConverter, "call_sid")


def _both(route: str, view: type[ApiView], name: str) -> list[URLPattern]:
    """`route` as the contract writes it, and the same with its last slash taken away or added."""
    other = route.removesuffix("/") if route.endswith("/") else f"{route}/"
    hidden: dict[str, Any] = {"schema": None}
    return [path(route, view.as_view(), name=name), path(other, view.as_view(**hidden))]


urlpatterns = [
    *_both("calls/", CallsView, "calls"),
    *_both("calls/<call_sid:call_sid>/", CallView, "call"),
    *_both("recordings/status", StatusesView, "recordings-status"),
    *_both("recordings/events", EventsView, "recordings-events"),
    *_both("recordings/<call_sid:call_sid>/status", StatusView, "recording-status"),
    *_both("recordings/<call_sid:call_sid>/stream", StreamView, "recording-stream"),
    *_both("recordings/<call_sid:call_sid>/peaks", PeaksView, "recording-peaks"),
    *_both("recordings/<call_sid:call_sid>/download", DownloadView, "recording-download"),
    *_both("schema/", SchemaView, "schema"),
    *_both("docs/", DocsView, "docs"),
    re_path(r"[\s\S]*", UnknownView.as_view()),
]
