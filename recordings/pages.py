"""The pages: Recent calls, and one call. They are drawn from the rows: showing them takes no further request."""

import math
import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import wraps
from itertools import groupby
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from calls.access import member_of
from calls.filters import RECORDING_CHOICES, CallFilter
from calls.keyset import BadCursor, Order, Page, paginate
from calls.models import Business, CallLog, CallStatus, Direction, Member, RecordingStatus
from recordings import kept_filters, status
from recordings.lifecycle import Ask
from recordings.models import Recording
from recordings.reasons import Reason

PAGE_SIZE = 50
MOMENT = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
AGENTS_FROM = 500
"""How many of the newest calls the list of agents is read from: as quick with a million calls as with a hundred."""

UNDER_WAY = {RecordingStatus.QUEUED, RecordingStatus.DOWNLOADING}
SPEEDS = [(speed, f"{speed}×") for speed in ("0.75", "1", "1.25", "1.5", "1.75", "2", "2.5", "3")]

MemberView = Callable[..., HttpResponse]


@dataclass(frozen=True)
class Row:
    """A call as the pages show it. `action` is what a person may do next: play, retry, force, or nothing."""

    call: CallLog
    label: str
    hint: str
    action: str

    @property
    def length(self) -> str:
        """The call's duration, as 1:05 or 1:01:05."""
        return clock(self.call.duration)

    @property
    def other_party(self) -> str:
        """The number at the other end, as seen from the business."""
        return self.call.from_number if self.call.direction == Direction.INBOUND else self.call.to_number

    @property
    def about(self) -> str:
        """Which call it is, in few words: the other party, and when by the business's clock."""
        return f"{self.other_party or self.call.call_sid}, {timezone.localtime(self.call.started_at):%H:%M}"

    @property
    def seconds(self) -> float:
        """How long the recording is, as far as is known; 0 when it is not."""
        return self.call.recording_duration or self.call.duration or 0

    @property
    def version(self) -> str:
        """The version of the recording's content, or nothing."""
        return status.version(self.call) or ""

    @property
    def is_coming(self) -> bool:
        """Whether the recording is on its way, or will be by itself. static/recordings/waiting.js says the same."""
        return self.call.recording_download_status in UNDER_WAY or self.call.recording_next_retry_at is not None

    @property
    def was_answered(self) -> bool:
        """Whether the call went as calls should."""
        return self.call.status == CallStatus.COMPLETED


@dataclass(frozen=True)
class Day:
    """The calls of one day of the business's calendar. `name` is "Today", "Yesterday" or empty."""

    date: date
    name: str
    rows: list[Row]


def for_members(view: MemberView) -> MemberView:
    """Log in first; then only who belongs to a business gets in, and the others are told whom to ask."""

    @never_cache  # phone numbers: nothing of it may be seen after logging out
    @login_required
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        member = member_of(request.user)
        if member is None:
            return render(request, "calls/no_business.html", status=403)
        with timezone.override(member.business.zone):
            return view(request, member, *args, **kwargs)

    return checked


@for_members
@require_safe
def recent_calls(request: HttpRequest, member: Member) -> HttpResponse:
    """The newest calls, searched and filtered. A filter or cursor that makes no sense: 400, and the form as it was.

    Without any query they are filtered as they were last; `?all=1` forgets that.
    """
    if "all" in request.GET:
        return kept_filters.forget(redirect("recent_calls"))
    kept = kept_filters.read(request, member)
    if kept and not request.GET:
        return redirect(f"{request.path}?{kept}")
    business = member.business
    rows = CallLog.objects.filter(business=business)
    chosen = CallFilter(request.GET, rows, zone=business.zone)
    page, bad_cursor = Page([], None, None), False
    if chosen.is_valid():
        try:
            page = paginate(chosen.qs, order=Order.NEWEST, cursor=request.GET.get("cursor"), limit=PAGE_SIZE)
        except BadCursor:
            bad_cursor = True
    context = {
        "member": member, "page": page, "days": days([row_of(call, member) for call in page.rows], business.zone),
        "form": chosen.form, "date_types": date_types(request), "filtered": any(map(request.GET.get, chosen.filters)),
        "directions": Direction.choices, "recording_statuses": RECORDING_CHOICES,
        "agents": recent_agents(business, request.GET.get("agent", "")),
        "bad_cursor": bad_cursor, "problems": problems(chosen.form), **for_player(member),
    }  # fmt: skip
    response = render(request, "calls/recent.html", context, status=400 if bad_cursor or chosen.form.errors else 200)
    return kept_filters.keep(response, request, member) if response.status_code == 200 else response


@for_members
@require_http_methods(["GET", "HEAD", "POST"])
def call_page(request: HttpRequest, member: Member, call_sid: str) -> HttpResponse:
    """One call, `?t=192` at 3:12 of it. POST asks for its recording: what Play does where no script runs."""
    call = CallLog.objects.filter(business=member.business, call_sid=call_sid).first()
    if call is None:
        raise Http404
    if request.method == "POST":
        force = "force" in request.POST
        if force and not member.is_manager:
            raise PermissionDenied
        if call.recording_url is not None:
            Recording.objects.ask(call, Ask.FORCE if force else Ask.PERSON)
        return redirect("call_page", call_sid=call.call_sid)
    row = row_of(call, member)
    context = {"member": member, "row": row, "at": moment(request.GET.get("t", ""), row), **for_player(member)}
    return render(request, "calls/call.html", context)


def row_of(call: CallLog, member: Member) -> Row:
    """What is said of this call, and what the member may do about it."""
    if call.recording_url is None:
        return Row(call, _("No recording"), "", "")
    label, hint = status.words(call)
    if call.recording_download_status == RecordingStatus.READY:
        hint = ""  # the button beside it says it
    return Row(call, label, hint, action_for(call, member))


def action_for(call: CallLog, member: Member) -> str:
    """The next action on a recording. recordings/static/recordings/row.js decides the same from the payload."""
    if call.recording_download_status != RecordingStatus.FAILED:
        return "play"
    if not call.recording_permanent:
        return "retry"
    return "force" if member.is_manager and call.recording_reason != Reason.DELETED else ""


def days(rows: list[Row], zone: zoneinfo.ZoneInfo) -> list[Day]:
    """The rows, which stand in order of time, by the business's day."""
    today = timezone.localdate(timezone=zone)
    names = {today: _("Today"), today - timedelta(days=1): _("Yesterday")}
    by_day = groupby(rows, lambda row: timezone.localdate(row.call.started_at, zone))
    return [Day(day, names.get(day, ""), list(group)) for day, group in by_day]


def recent_agents(business: Business, chosen: str) -> list[str]:
    """Who took the newest calls, and who is chosen."""
    recent = CallLog.objects.filter(business=business).order_by("-started_at", "-id").values_list("agent", flat=True)
    return sorted({*recent[:AGENTS_FROM], chosen} - {""}, key=str.casefold)


def problems(form: Form) -> list[tuple[str, str]]:
    """What makes no sense in the filters: a field as the page calls it, and why."""
    labels = {
        "search": _("Search"), "direction": _("Direction"), "recording": _("Recording"), "agent": _("Agent"),
        "since": _("From day"), "until": _("To day"), "status": _("Call status"),
    }  # fmt: skip
    return [(labels.get(name, name), str(error)) for name, errors in form.errors.items() for error in errors]


def date_types(request: HttpRequest) -> dict[str, str]:
    """The input type of each date field: a date field could not show a time, or nonsense that is to be corrected."""
    return {name: "date" if is_date(request.GET.get(name, "")) else "text" for name in ("since", "until")}


def is_date(text: str) -> bool:
    """Whether a date field of a browser can show this."""
    try:
        return not text or parse_date(text) is not None
    except ValueError:
        return False


def clock(seconds: int | None) -> str:
    """A length of time as people read it: 0:07, 12:34, 1:02:03; nothing for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(text: str, row: Row) -> float | None:
    """Seconds from the beginning of a recording; None for what is not in it, and for nonsense."""
    if not MOMENT.fullmatch(text):
        return None
    seconds = float(text)
    return seconds if 0 < seconds < (row.seconds or math.inf) else None


def for_player(member: Member) -> dict[str, Any]:
    """What the player's template needs, and as `player` what the scripts do."""
    return {"player": player_words(member), "player_speeds": SPEEDS}


def player_words(member: Member) -> dict[str, Any]:
    """What the scripts need to know: who plays, and every word that they may have to say."""
    return {
        "manager": member.is_manager,
        "labels": {str(value): str(label) for value, label in RecordingStatus.choices},
        "words": {
            "play": _("Play"), "pause": _("Pause"), "loading": _("Loading…"), "playing": _("Playing"),
            "paused": _("Paused"), "retry": _("Try again"), "login": _("Log in again"),
            "failed": _("Not played"), "last": _("There is no further call here."),
            "of": _("{now} of {all}"), "copy": _("The link to this moment:"),
            "copied": _("The link to {now} has been copied."),
            "slow": _("This takes longer than usual. Try again, or come back later."),
            "logged_out": _("You have been logged out."),
            "unreachable": _("The server could not be reached. Check your connection."),
            "refused": _("The server refused this."),
            "not_found": _("This recording is not there any more."),
            "cut": _("The connection was lost while playing."),
            "unplayable": _("This browser cannot play this recording."),
        },
    }  # fmt: skip
