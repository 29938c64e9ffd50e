"""What can be wrong, one function each: what it found, or None where it can't tell now (an alarm then stays as it is).

They look at rows, at the storage of this machine and at its workers' sign of life, and change nothing.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from calls.clock import now
from calls.models import PRIORITY_CLICK
from recordings import health
from recordings.alarms.record import AlarmName
from recordings.governor import Turns
from recordings.models import Attempt, Outcome, ProviderAccount, Recording
from recordings.reasons import Reason
from recordings.storage import StorageAway, default_storage

LOW = 2
"""Times RECORDINGS_MIN_FREE_BYTES: with less the disk is nearly full, and downloads still go on."""

CLICK_WAITS = 60
"""Seconds after which a click that is still queued has waited too long."""

WINDOW, FEWEST, SHARE = 900, 20, 0.2
"""Failures are many when at least FEWEST, and more than this SHARE, of the recordings that were tried in the last
WINDOW seconds failed. Of all businesses together, or of one: a small one's must not vanish among the others'."""

COUNTED = [
    Reason.PROVIDER_ERROR, Reason.UNREACHABLE, Reason.STALLED, Reason.CUT_SHORT, Reason.STORAGE_FULL,
    Reason.STORAGE_ERROR, Reason.WORKER_CRASHED,
]  # fmt: skip
"""Failures for now that something must have caused. Not `not_yet`, which is a provider's normal answer to haste; not
`rate_limited`, which the account's pause handles; not `unauthorised`, which has an alarm of its own."""


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong: what, in words; what to do; whose (None: everybody's); since when, where known."""

    words: str
    do: str
    business_id: int | None = None
    since: datetime | None = None


def refused_accounts() -> list[Trouble]:
    """One for each business whose provider refuses its credentials."""
    refused = ProviderAccount.objects.filter(broken_since__isnull=False).select_related("business")
    return [_refused(account) for account in refused.order_by("business_id")]


def _refused(account: ProviderAccount) -> Trouble:
    facts = {"business": str(account.business), "slug": account.business.slug}
    words = _(
        "The provider refuses the credentials of %(business)s (401 or 403). Its new recordings are not downloaded; "
        "those that are ready still play."
    )
    do = _(
        "Correct the secret, in its variable (then restart) or in the admin. Then run: manage.py "
        "retry_failed_recordings --business %(slug)s --reason unauthorised"
    )
    return Trouble(words % facts, do % facts, account.business_id, account.broken_since)


def storage_away() -> list[Trouble]:
    """The marker file can't be opened: the disk is not mounted, or may not be read."""
    storage = default_storage()
    try:
        storage.check()
    except StorageAway:
        words = _(
            "The folder of the recordings, %(folder)s, is away: its marker file can't be opened. "
            "Nothing new is downloaded."
        )
        do = _("Mount it. Nothing is lost meanwhile, and downloads then go on by themselves.")
        return [Trouble(words % {"folder": storage.root}, do)]
    return []


def storage_low() -> list[Trouble] | None:
    """Less than LOW times what must stay free."""
    storage = default_storage()
    try:
        storage.check()
        disk = os.statvfs(storage.root)
    except (StorageAway, OSError):
        return None
    free = disk.f_bavail * disk.f_frsize
    if free >= LOW * storage.min_free_bytes:
        return []
    facts = {"folder": storage.root, "free": _megabytes(free), "wanted": _megabytes(storage.min_free_bytes)}
    words = _("The disk of %(folder)s has %(free)s MB free. Below %(wanted)s MB downloads stop.")
    if free < storage.min_free_bytes:
        words = _("The disk of %(folder)s has %(free)s MB free, less than %(wanted)s MB: downloads have stopped.")
    do = _(
        "Make room on that file system, but delete no recording by hand. If downloads had stopped, they then go on by "
        "themselves."
    )
    return [Trouble(words % facts, do)]


def storage_read_only() -> list[Trouble] | None:
    """A small file can't be written there, although there is room."""
    storage = default_storage()
    try:
        storage.check()
        if os.statvfs(storage.root).f_bavail == 0:
            return None
    except (StorageAway, OSError):
        return None
    if storage.writable():
        return []
    words = _(
        "The folder of the recordings, %(folder)s, can't be written to. Nothing new is downloaded; the rest plays."
    )
    do = _(
        "Make it writable for the user of the service (a file system that had an error is often mounted read-only: see "
        "dmesg). Downloads then go on by themselves."
    )
    return [Trouble(words % {"folder": storage.root}, do)]


def silent_workers() -> list[Trouble]:
    """No sign of life, or they write to another storage than this process sees."""
    try:
        health.workers()
    except health.Unwell as error:
        words = _("The workers are not well: %(what)s. Nothing new is downloaded; what is ready plays.")
        do = _(
            "`serve` starts them again by itself. If a minute has not helped, restart the service, and read its log."
        )
        return [Trouble(words % {"what": error}, do)]
    return []


def rising_failures() -> list[Trouble]:
    """Too many recordings failed lately, for reasons that lie with a provider, the network or us.

    One for each business that is hit, so that one business's trouble does not hide the next one's; else one for all.
    """
    ended = Attempt.objects.filter(
        ended_at__gt=now(-WINDOW), outcome__in=[Outcome.READY, Outcome.ADOPTED, Outcome.FAILED, Outcome.CRASHED]
    ).order_by()
    failed = ended.filter(Q(outcome=Outcome.CRASHED) | Q(outcome=Outcome.FAILED, reason__in=COUNTED))
    bad = _recordings(failed)
    if bad < FEWEST:
        return []
    hit = _hit_businesses(ended, failed)
    if hit or not _many(bad, all_ended := _recordings(ended)):
        return hit
    words = _(
        "Of %(ended)d recordings tried in the last 15 minutes %(failed)d failed at least once, "
        "most of them as %(reason)s."
    )
    do = _(
        "See the reasons: manage.py recording_stats, and the list of attempts in the admin. Once the cause is mended: "
        "manage.py retry_failed_recordings --reason %(reason)s"
    )
    facts = {"failed": bad, "ended": all_ended, "reason": _most_frequent(failed)}
    return [Trouble(words % facts, do % facts)]


def _hit_businesses(ended: QuerySet[Attempt], failed: QuerySet[Attempt]) -> list[Trouble]:
    """Those of which many failed. Successes are counted only where there were enough failures."""
    business, distinct = "recording__business", Count("recording", distinct=True)
    failures = dict(failed.values_list(business).annotate(count=distinct).filter(count__gte=FEWEST))
    theirs = ended.filter(**{f"{business}__in": list(failures)}) if failures else ended.none()
    counted = theirs.values_list(business, f"{business}__slug").annotate(count=distinct)
    return [
        _hit(pk, slug, failures[pk], count, _most_frequent(failed.filter(**{business: pk})))
        for pk, slug, count in sorted(counted)
        if _many(failures[pk], count)
    ]


def _hit(pk: int, slug: str, failed: int, ended: int, reason: str) -> Trouble:
    facts = {"slug": slug, "failed": failed, "ended": ended, "reason": reason}
    words = _(
        "Of %(ended)d recordings of %(slug)s tried in the last 15 minutes %(failed)d failed at least once, most of "
        "them as %(reason)s."
    )
    do = _(
        "See the reasons: manage.py recording_stats --business %(slug)s, and the list of attempts in the admin. Once "
        "the cause is mended: manage.py retry_failed_recordings --business %(slug)s --reason %(reason)s"
    )
    return Trouble(words % facts, do % facts, pk)


def _recordings(attempts: QuerySet[Attempt]) -> int:
    """Of how many recordings these are: one that can't be had is tried five times."""
    return attempts.aggregate(count=Count("recording", distinct=True))["count"]  # type: ignore[no-any-return]


def _most_frequent(failed: QuerySet[Attempt]) -> str:
    """The reason of most. Crashed ones have none, and their workers can't say why."""
    reasons = failed.values_list("reason").annotate(count=Count("recording", distinct=True))
    return reasons.order_by("-count", "reason")[0][0] or Reason.WORKER_CRASHED.value


def _many(failed: int, ended: int) -> bool:
    return failed >= FEWEST and failed > SHARE * ended


def waiting_clicks() -> list[Trouble]:
    """Somebody clicked, and the download has not begun, though its account has room and was not asked to wait."""
    able = [business for business, room in Turns().room(PRIORITY_CLICK).items() if room]
    count = Recording.objects.waiting().filter(
        business_id__in=able, recording_priority__gte=PRIORITY_CLICK, recording_last_enqueue_at__lte=now(-CLICK_WAITS)
    ).count()  # fmt: skip
    if not count:
        return []
    words = ngettext(
        "%(count)d recording that somebody clicked has been waiting for more than a minute.",
        "%(count)d recordings that somebody clicked have been waiting for more than a minute.",
        count,
    )
    do = _("See manage.py recording_stats and /readyz. If the workers are well and all busy, raise RECORDINGS_SLOTS.")
    return [Trouble(words % {"count": count}, do)]


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:.0f}"


CONDITIONS: dict[AlarmName, Callable[[], list[Trouble] | None]] = {
    AlarmName.ACCOUNT_REFUSED: refused_accounts,
    AlarmName.STORAGE_AWAY: storage_away,
    AlarmName.STORAGE_LOW: storage_low,
    AlarmName.STORAGE_READ_ONLY: storage_read_only,
    AlarmName.WORKERS_SILENT: silent_workers,
    AlarmName.FAILURES_RISING: rising_failures,
    AlarmName.CLICKS_WAITING: waiting_clicks,
}
