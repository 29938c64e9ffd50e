"""The admin's page “Recordings now”: how they stand, what waits, what is wrong, and “retry these”."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from recordings import health, history, now
from recordings.attempt_admin import sentence_of
from recordings.bulk_admin import asked, counts_of
from recordings.history import Day
from recordings.lifecycle import Ask
from recordings.models import Alarm, ProviderAccount, Recording
from recordings.now_words import advice_on, faces, fate_of, names_of_states, plain, span, target_of
from recordings.plots import area, bars
from recordings.reasons import Reason

NOW, RETRY = "recordings_recording_now", "recordings_recording_now_retry"

PLOTTED = ("ready", "failed", "queued", "downloading", "missing")
"""The states, in the order of the page."""


class NowPages:
    """The page and its confirmation, beside the list of recordings and with its permissions."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """The list's, and these before them."""
        guarded = self.admin_site.admin_view
        own = [
            path("now/", guarded(self.now_view), name=NOW),
            path("now/retry/", guarded(self.retry_view), name=RETRY),
        ]
        return own + super().get_urls()  # type: ignore[misc, no-any-return]

    def now_view(self, request: HttpRequest) -> HttpResponse:
        """The page. A fixed number of queries, whatever the number of recordings."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        day = history.last_day()
        counts = Recording.objects.counts()
        context = self._context(request, _("Recordings now")) | {
            "checks": _checks(),
            "alarms": Alarm.objects.open().raised().count(),
            "standings": [_standing(one) for one in now.standings(counts)],
            "total": plain(sum(counts.values())),
            "waiting": [_oldest(one) for one in now.waiting()],
            "downloading": _downloading(now.downloading()),
            "accounts": ProviderAccount.objects.in_trouble(),
            "failures": [_failures(one) for one in now.failures()],
            "plots": _plots(day),
            "columns": [*(names_of_states()[name] for name in PLOTTED), _("downloaded"), _("failed or crashed")],
            "hours": [_hour(hour) for hour in day.hours()],
            "may_retry": self.has_change_permission(request),  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/recordings/recording/now.html", context)

    def retry_view(self, request: HttpRequest) -> HttpResponse:
        """Ask again for all that failed for one reason: the question first, then, confirmed, the deed."""
        if not self.has_change_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        chosen = now.Failures(request.POST.get("reason", ""), request.POST.get("permanent") == "yes", 0, 0)
        if chosen.ask is None or chosen.reason not in ("", *Reason.values):
            raise Http404
        pks = list(
            now.failed_for(chosen.reason, permanent=chosen.permanent).order_by("pk").values_list("pk", flat=True)
        )
        if pks and "confirmed" not in request.POST:
            return self._question_page(request, chosen)
        if pks:
            self.message_user(request, asked(pks, chosen.ask), messages.SUCCESS)  # type: ignore[attr-defined]
        else:
            words = _("Nothing is failed for this reason any more; nothing was done.")
            self.message_user(request, words, messages.WARNING)  # type: ignore[attr-defined]
        return HttpResponseRedirect(reverse(f"admin:{NOW}"))

    def _question_page(self, request: HttpRequest, chosen: now.Failures) -> HttpResponse:
        context = self._context(request, _("Are you sure?")) | {
            "question": _question(chosen),
            "counts": counts_of(now.failed_for(chosen.reason, permanent=chosen.permanent)),
            "chosen": chosen,
            "back": reverse(f"admin:{NOW}"),
        }
        return TemplateResponse(request, "admin/recordings/recording/now_retry.html", context)

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        site: dict[str, Any] = self.admin_site.each_context(request)
        return site | {"opts": self.opts, "title": title}


def _question(chosen: now.Failures) -> str:
    words = _("Download these again now? They are asked for before their time, and given-up ones start anew.")
    if chosen.ask is Ask.FORCE:
        words = _(
            "These failed for good and are not retried by themselves. Force a retry of each all the same? "
            "What was wrong should be put right first, or they fail again."
        )
    return f"{sentence_of(chosen.reason)} ({chosen.reason or '-'}): {words}"


# --- from facts to what a template shows


def _checks() -> list[dict[str, Any]]:
    found = {name: trouble.translated() for name, trouble in health.troubles().items()}
    return [
        {"name": face, "well": name not in found, "said": found.get(name), "advice": advice_on(name)}
        for name, face in faces().items()
    ]


def _standing(one: now.Standing) -> dict[str, Any]:
    share = "–" if one.share is None else f"{one.share:.2%}".replace("%", " %")
    return {
        "name": names_of_states()[one.name], "count": plain(one.count), "share": share, "target": target_of(one.name),
        "well": one.well, "is_part": one.name in {"queued", "downloading"},
    }  # fmt: skip


def _oldest(one: now.Oldest) -> dict[str, Any]:
    name = _("Clicks") if one.is_click else _("Background")
    return {"name": name, "count": plain(one.count), "row": one.row, "span": span(one.seconds)}


def _downloading(found: now.Downloading) -> dict[str, Any]:
    longest = [
        {
            "row": one.row, "worker": one.worker, "span": span(one.seconds), "done": plain(one.bytes_done or 0),
            "total": plain(one.row.recording_bytes_total) if one.row.recording_bytes_total else "?",
        }
        for one in found.longest
    ]  # fmt: skip
    by_worker = [{"worker": worker, "count": plain(count)} for worker, count in found.by_worker]
    return {
        "count": plain(found.count), "by_worker": by_worker, "longest": longest,
        "more": plain(found.count - len(longest)) if found.count > len(longest) else "",
    }  # fmt: skip


def _failures(one: now.Failures) -> dict[str, Any]:
    return {
        "words": sentence_of(one.reason), "code": one.reason, "count": plain(one.count),
        "fate": fate_of(one.count, one.retried), "permanent": one.permanent, "ask": one.ask,
    }  # fmt: skip


def _plots(day: Day) -> list[dict[str, Any]]:
    ticks = day.ticks()
    drawn = []
    for status in PLOTTED:
        values, title = day.states[status], names_of_states()[status]
        drawn.append(
            {
                "title": title,
                "kind": status,
                "svg": area(f"plot-{status}", values, ticks, title=title, description=_in_words(values)),
            }
        )
    for name, title, counts in (
        ("downloads", _("Downloads a minute"), day.downloaded),
        ("failures", _("Failures a minute"), day.failed),
    ):
        rates = day.a_minute(counts)
        drawn.append(
            {
                "title": title,
                "kind": name,
                "svg": bars(f"plot-{name}", rates, ticks, title=title, description=_in_words(rates)),
            }
        )
    return drawn


def _in_words(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return _("Nothing is known of the last day yet.")
    told = {"least": f"{min(known):.4g}", "most": f"{max(known):.4g}", "last": f"{known[-1]:.4g}"}
    return _("The last day in steps of ten minutes: at least %(least)s, at most %(most)s, %(last)s at the end.") % told


def _hour(hour: history.Hour) -> dict[str, Any]:
    counts = [plain(hour.counts[name]) if hour.counts else "–" for name in PLOTTED]
    return {"at": hour.at, "cells": [*counts, plain(hour.downloaded), plain(hour.failed)]}
