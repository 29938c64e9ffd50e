"""The filters of Recent calls that a browser keeps for its user, in a cookie: what one always looks for.

What is looked for once is not kept: a search, days, a page.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict

from calls.filters import CallFilter
from calls.models import CallLog, Member
from recordings import fetch_metadata

COOKIE = "filters"
KEPT = ("direction", "recording", "agent")
AGE = 30 * 24 * 3600
"""Seconds."""


def read(request: HttpRequest, member: Member) -> str:
    """The query that was kept for this member; nothing when there is none, or when it makes no sense any more."""
    owner, _, query = request.COOKIES.get(COOKIE, "").partition("?")
    if owner != str(member.pk):
        return ""
    kept = _chosen(QueryDict(query))
    return kept.urlencode() if CallFilter(kept, CallLog.objects.none(), zone=member.business.zone).is_valid() else ""


def keep(response: HttpResponse, request: HttpRequest, member: Member) -> HttpResponse:
    """Keep the filters of this request, which are in order. None at all: forget those of before.

    Not what another site chose by a link, nor what a browser only guessed.
    """
    if fetch_metadata.is_guess(request) or not fetch_metadata.is_from_here(request):
        return response
    chosen = _chosen(request.GET)
    if not chosen:
        return forget(response) if COOKIE in request.COOKIES else response
    response.set_cookie(
        COOKIE,
        f"{member.pk}?{chosen.urlencode()}",
        max_age=AGE,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
    return response


def forget(response: HttpResponse) -> HttpResponse:
    """Show all calls from now on."""
    response.delete_cookie(COOKIE, samesite="Lax")
    return response


def _chosen(query: QueryDict) -> QueryDict:
    chosen = QueryDict(mutable=True)
    for name in KEPT:
        if value := query.get(name):
            chosen[name] = value
    return chosen
