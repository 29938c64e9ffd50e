"""Who goes next: clicks before the background, businesses in turn, and no account above its cap.

Right across all processes and machines: what is under way is counted in the rows, under the lock of the claim. A
quarter of each account is kept for clicks, as a quarter of the slots is (worker.py).
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush

from django.conf import settings
from django.db import OperationalError, connection
from django.db.models import Count

from calls.models import PRIORITY_BULK, PRIORITY_CLICK, CallLog, RecordingStatus
from recordings.accounts import ProviderAccount

_CLAIM_LOCK = 7_203_451_196
"""Names the claim among PostgreSQL's advisory locks of this database."""

_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL, appendix A

CLAIM_PATIENCE = 2.0
"""Seconds that a claim waits for another one."""

_LINE = """{name}(business) AS (
    SELECT MIN(business_id) FROM call_log
    WHERE recording_download_status = 'queued' AND recording_priority = {priority}
    UNION ALL
    SELECT (
        SELECT MIN(business_id) FROM call_log
        WHERE recording_download_status = 'queued' AND recording_priority = {priority} AND business_id > {name}.business
    ) FROM {name} WHERE {name}.business IS NOT NULL
)"""
_LINES = f"""
    WITH RECURSIVE {_LINE.format(name="click", priority=PRIORITY_CLICK)},
    {_LINE.format(name="bulk", priority=PRIORITY_BULK)}
    SELECT {PRIORITY_CLICK}, business FROM click WHERE business IS NOT NULL
    UNION ALL SELECT {PRIORITY_BULK}, business FROM bulk WHERE business IS NOT NULL
"""  # noqa: S608 - our own constants
"""One step of an index for each business that waits, however many recordings wait."""


class OthersClaim(Exception):
    """Somebody else claims, and does not end: stopped amid its claim, it may be, on a machine that is cut off."""


def one_claim_at_a_time() -> None:
    """Until this transaction ends. SQLite has one writer anyway; else two that count together exceed a cap.

    Raises OthersClaim, which ends the transaction, rather than wait while leases want to be renewed.
    """
    if connection.vendor != "postgresql":
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = %s", [f"{CLAIM_PATIENCE * 1000:.0f}"])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CLAIM_LOCK])
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == _LOCK_NOT_AVAILABLE:
            raise OthersClaim from error
        raise


class Turns:
    """The lines that wait, a business and a priority each, and the room each has. Read once; kept up by `took`."""

    def __init__(self) -> None:
        """Three queries, or one when nothing waits."""
        with connection.cursor() as cursor:
            cursor.execute(_LINES)
            self._lines = {(int(priority), int(business)) for priority, business in cursor.fetchall()}
        self._accounts: dict[int, ProviderAccount] = {}
        self._running: Counter[tuple[int, int]] = Counter()
        if self._lines:
            businesses = {business for _, business in self._lines}
            accounts = ProviderAccount.objects.filter(business_id__in=businesses).with_moment()
            self._accounts = {account.business_id: account for account in accounts}
            self._running = _running(businesses)

    def share(self, priority: int, limit: int) -> dict[int, int]:
        """How many each business may begin now at this priority, `limit` in all; empty when nobody may."""
        room = self.room(priority)
        return share_out(limit, room, {business: self._under_way(business) for business in room})

    def room(self, priority: int) -> dict[int, int]:
        """How many more each business that waits at this priority may have under way."""
        return {business: self._room(priority, business) for wanted, business in self._lines if wanted == priority}

    def took(self, priority: int, business: int, share: int, found: int) -> None:
        """Of this share so many were found; fewer than it was: nothing more waits there."""
        self._running[priority, business] += found
        if found < share:
            self._lines.discard((priority, business))

    def may_start(self, priorities: Iterable[int]) -> bool:
        """Whether anybody may begin."""
        return any(self.share(priority, 1) for priority in priorities)

    def _room(self, priority: int, business: int) -> int:
        account = self._accounts.get(business)
        if account is None:
            return max(0, settings.RECORDINGS_AT_ONCE - self._under_way(business))  # they fail, and say what is needed
        if account.is_paused() or (priority < PRIORITY_CLICK and account.is_resting()):
            return 0
        at_once, under_way, running = account.at_once(), self._under_way(business), self._running[priority, business]
        for_clicks = at_once // 4
        if priority < PRIORITY_CLICK:
            return max(0, min(at_once - under_way, at_once - for_clicks - running))
        # After a slow-down more of the background may be under way than is asked for now: clicks do not wait for it.
        kept = min(max(1, for_clicks) - running, account.cap - under_way)
        return max(0, at_once - under_way, kept)

    def _under_way(self, business: int) -> int:
        return self._running[PRIORITY_CLICK, business] + self._running[PRIORITY_BULK, business]


def share_out(limit: int, room: Mapping[int, int], under_way: Mapping[int, int]) -> dict[int, int]:
    """Give out `limit` places one by one, each to a business with room that has the fewest under way.

    Between equals the lot decides: by any fixed order, some would never have a turn where there are more businesses
    than places.
    """
    turns = [(under_way.get(business, 0), random.random(), business) for business in room if room[business] > 0]  # noqa: S311
    heapify(turns)
    shares: Counter[int] = Counter()
    while turns and shares.total() < limit:
        has, lot, business = heappop(turns)
        shares[business] += 1
        if shares[business] < room[business]:
            heappush(turns, (has + 1, lot, business))
    return dict(shares)


def _running(businesses: Iterable[int]) -> Counter[tuple[int, int]]:
    """How many downloads of each are under way, by priority and business."""
    under_way = CallLog.objects.filter(
        recording_download_status=RecordingStatus.DOWNLOADING, business_id__in=businesses
    ).order_by()
    counted = under_way.values_list("recording_priority", "business_id").annotate(Count("pk"))
    return Counter({(priority, business): count for priority, business, count in counted})
