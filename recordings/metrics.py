"""GET /metrics: what processes have counted and what the database knows, in Prometheus' text format.

It tells of no single call, and of businesses only how many. docs/operating.md says what each metric means.
"""

import ipaddress
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db import Error
from django.db.models import Count, Max, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from calls.clock import now
from calls.models import PRIORITY_BULK, PRIORITY_CLICK, CallLog, RecordingStatus
from recordings import bell, counting, health
from recordings.models import ProviderAccount, Recording
from recordings.reasons import Reason
from recordings.storage import default_storage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PRIORITIES = {PRIORITY_CLICK: "click", PRIORITY_BULK: "bulk"}
_FORWARDED = (
    "HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
)  # fmt: skip
"""What proxies add. One on this machine speaks from loopback for people who are not here."""

Sample = tuple[str, dict[str, str], float]
"""What follows the family's name, labels, value."""


@dataclass
class Family:
    """A metric with all its samples; `words` say what it means."""

    name: str
    kind: str
    words: str
    samples: list[Sample] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """As Prometheus reads it."""
        yield f"# HELP {self.name} {self.words}"
        yield f"# TYPE {self.name} {self.kind}"
        for suffix, labels, value in self.samples:
            inner = ",".join(f'{label}="{_escaped(each)}"' for label, each in labels.items())
            yield f"{self.name}{suffix}{{{inner}}} {value:.17g}" if inner else f"{self.name}{suffix} {value:.17g}"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics, for this machine and for who has METRICS_TOKEN; to others there is nothing here."""
    given = request.headers.get("Authorization", "")
    # Where there is a token, loopback is not enough: a bare proxy speaks from there for people who are not here.
    if not (_has_token(given) if settings.METRICS_TOKEN else _is_local(request)):
        if given and settings.METRICS_TOKEN:
            refusal = HttpResponse("The token is not METRICS_TOKEN.\n", "text/plain; charset=utf-8", 401)
            refusal["WWW-Authenticate"] = "Bearer"
            refusal._has_been_logged = True  # type: ignore[attr-defined]  # else Django logs each scrape
            return refusal
        raise Http404
    lines = (line for family in families() for line in family.lines())
    return HttpResponse("\n".join(lines) + "\n", CONTENT_TYPE)


def families() -> list[Family]:
    """Everything, read now. What can't be read is left out; `prosaasil_check_ok` says what is wrong."""
    return [*_counted(), *_health(), *_storage(), *_database()]


def _is_local(request: HttpRequest) -> bool:
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback and not any(name in request.META for name in _FORWARDED)


def _has_token(given: str) -> bool:
    wanted = f"Bearer {settings.METRICS_TOKEN}"
    return bool(settings.METRICS_TOKEN) and secrets.compare_digest(given.encode(), wanted.encode())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


# --- what processes have counted


def _counted() -> Iterator[Family]:
    totals = counting.total()
    for each in counting.ALL:
        if isinstance(each, counting.Counter):
            samples = [("", dict(zip(each.labels, of, strict=True)), totals[cell]) for of, cell in each.cells.items()]
        else:
            samples = list(_buckets(each, totals))
        yield Family(each.name, each.kind, each.words, samples)


def _buckets(histogram: counting.Histogram, totals: list[float]) -> Iterator[Sample]:
    so_far = 0.0
    for bound, cell in zip((*histogram.bounds, None), histogram.cells, strict=True):
        so_far += totals[cell]
        yield "_bucket", {"le": "+Inf" if bound is None else f"{bound:g}"}, so_far
    yield "_sum", {}, totals[histogram.sum]
    yield "_count", {}, so_far


# --- what can be seen now


def _health() -> Iterator[Family]:
    checks = [("", {"check": name}, float(found == "ok")) for name, found in health.outcomes().items()]
    yield Family("prosaasil_check_ok", "gauge", "1 where a check of /readyz is well.", checks)
    words = "Seconds since the queue's pusher gave a sign of life; 0 when it never gave one."
    yield Family("prosaasil_workers_silent_seconds", "gauge", words, [("", {}, bell.age_of_sign())])


def _storage() -> Iterator[Family]:
    storage = default_storage()
    try:
        disk = os.statvfs(storage.root)
    except OSError:
        return
    free = float(disk.f_bavail * disk.f_frsize)
    yield Family("prosaasil_storage_free_bytes", "gauge", "Free where the recordings are.", [("", {}, free)])
    words = "RECORDINGS_MIN_FREE_BYTES: with less free, downloads fail for now."
    yield Family("prosaasil_storage_min_free_bytes", "gauge", words, [("", {}, float(storage.min_free_bytes))])


def _database() -> list[Family]:
    """Five queries over indexes; nothing when the database does not answer."""
    try:
        return [*_statuses(), *_queue(), *_leases(), *_accounts()]
    except Error:
        return []


def _statuses() -> Iterator[Family]:
    columns = ("recording_download_status", "recording_reason")
    rows = Recording.objects.order_by().values_list(*columns).annotate(count=Count("pk"))
    statuses = dict.fromkeys(RecordingStatus.values, 0)
    reasons = dict.fromkeys(Reason.values, 0)
    for status, reason, count in rows:
        statuses[status] += count
        if status == RecordingStatus.FAILED:
            reasons[reason] = reasons.get(reason, 0) + count
    yield _gauge("prosaasil_recordings", "Recordings by status.", "status", statuses.items())
    yield _gauge("prosaasil_failed_recordings", "Failed recordings by reason.", "reason", reasons.items())


def _queue() -> Iterator[Family]:
    """What waits for a download slot, by priority, and how long; what is queued and waits for its account."""
    waiting = Recording.objects.waiting().order_by().values_list("recording_priority")
    depth, age = dict.fromkeys(PRIORITIES, 0), dict.fromkeys(PRIORITIES, 0.0)
    facts = {"count": Count("pk"), "since": Min("recording_last_enqueue_at"), "moment": Max(now())}
    for priority, count, since, moment in waiting.annotate(**facts):
        depth[priority] = count
        age[priority] = max(0.0, (moment - since).total_seconds()) if since else 0.0
    queued = CallLog.objects.filter(recording_download_status=RecordingStatus.QUEUED).order_by()  # from its index alone
    held = dict(queued.values_list("recording_priority").annotate(count=Count("pk")))
    words = "Queued recordings that wait for a free slot, by priority."
    yield _gauge("prosaasil_queue_waiting", words, "priority", _named(depth))
    words = "Queued recordings that wait because their account was asked to slow down, by priority."
    kept = {priority: max(0, held.get(priority, 0) - depth[priority]) for priority in PRIORITIES}
    yield _gauge("prosaasil_queue_held", words, "priority", _named(kept))
    words = "Seconds that the oldest of prosaasil_queue_waiting has waited; 0 when none waits."
    yield _gauge("prosaasil_queue_oldest_seconds", words, "priority", _named(age))


def _leases() -> Iterator[Family]:
    held = Recording.objects.filter(recording_download_status=RecordingStatus.DOWNLOADING)
    over = held.filter(Recording.objects.lapsed()).count()
    words = "Downloading recordings whose worker gives no sign of life; the sweep queues them again."
    yield Family("prosaasil_lapsed_leases", "gauge", words, [("", {}, float(over))])


def _accounts() -> Iterator[Family]:
    accounts = ProviderAccount.objects.in_trouble()
    states = {
        "refused": sum(account.broken_since is not None for account in accounts),
        "paused": sum(account.is_paused() for account in accounts),
        "slowed": sum(account.is_slowed() for account in accounts),
    }
    words = "Provider accounts that are refused, were asked to wait, or are asked for less since a trouble."
    yield _gauge("prosaasil_accounts", words, "state", states.items())


def _named(values: Mapping[int, float]) -> list[tuple[str, float]]:
    return [(name, values[priority]) for priority, name in PRIORITIES.items()]


def _gauge(name: str, words: str, label: str, values: Iterable[tuple[str, float]]) -> Family:
    return Family(name, "gauge", words, [("", {label: each}, float(value)) for each, value in values])
