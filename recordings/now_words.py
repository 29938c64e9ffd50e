"""The words and numbers of “Recordings now”."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from calls.models import RecordingStatus


def names_of_states() -> dict[str, str]:
    """By status, and `under_way`; in the order of the page."""
    order = ("ready", "failed", "under_way", "queued", "downloading", "missing")
    return {name: _("Under way") if name == "under_way" else str(RecordingStatus(name).label) for name in order}


def target_of(name: str) -> str:
    """What share is wanted; nothing where any will do."""
    targets = {"ready": _("80 % or more"), "failed": _("under 1 %"), "under_way": _("under 5 %")}
    return targets.get(name, "")


def faces() -> dict[str, str]:
    """The names of what /readyz looks at."""
    return {"database": _("Database"), "storage": _("Storage"), "workers": _("Workers")}


def advice_on(name: str) -> str:
    """What to do when this check of /readyz is not well."""
    return {
        "database": _("Look whether the database runs and whether its disk is full."),
        "storage": _(
            "Mount the disk of the recordings, or make room on it. Nothing is lost meanwhile; what failed for the "
            "storage can be retried below."
        ),
        "workers": _(
            "The service starts dead or silent workers again by itself. If that has not helped after a minute, restart "
            "it; what was under way is queued again."
        ),
    }[name]


def plain(count: int) -> str:
    """A number with its thousands apart, which reads the same in both languages."""
    return f"{count:,}"


def span(seconds: float) -> str:
    """How long, in one unit."""
    if seconds < 120:
        return ngettext("%(count)d second", "%(count)d seconds", int(seconds)) % {"count": int(seconds)}
    if seconds < 7200:
        minutes = int(seconds // 60)
        return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
    hours = int(seconds // 3600)
    return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}


def fate_of(count: int, retried: int) -> str:
    """What becomes of so many failures for now: how many are tried again by themselves, how many were given up."""
    told = {"again": plain(retried), "over": plain(count - retried)}
    if not retried:
        return _("given up")
    if retried == count:
        return _("all are retried by themselves")
    return _("%(again)s are retried by themselves, %(over)s given up") % told
