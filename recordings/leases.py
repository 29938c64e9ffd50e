"""The worker's verbs beside the claim: keep the lease, end it.

Each is one conditional UPDATE; the row count is the answer. A worker whose token is not the row's changes nothing.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, cast

from django.conf import settings
from django.db import transaction
from django.db.models import (
    Case,
    DateTimeField,
    F,
    Field,
    IntegerField,
    Model,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.expressions import Combinable

from calls.clock import now
from calls.models import PRIORITY_BULK, CallLog, RecordingStatus
from recordings import backoff, bell, counting
from recordings.attempts import Attempt, Outcome
from recordings.claims import LEASE, ClaimQuerySet
from recordings.expressions import EachRow
from recordings.reasons import OURS, Reason
from recordings.results import Failed, Finished, Held, Whole

BEAT_EVERY = 7.5
CRASHES_IN_A_ROW = 5

NO_FILE: dict[str, Any] = {
    "recording_file": "",
    "recording_bytes": None,
    "recording_bytes_total": None,
    "recording_sha256": "",
    "recording_content_type": "",
    "recording_duration": None,
    "recording_ready_at": None,
}
NO_LEASE: dict[str, Any] = {"recording_token": None, "recording_lease_until": None, "recording_started_at": None}
NO_FAILURE: dict[str, Any] = {"recording_reason": "", "recording_permanent": False, "recording_next_retry_at": None}
NO_COUNTS: dict[str, Any] = {"recording_fail_count": 0, "recording_crash_count": 0}


def next_retry(retry_after: float | None = None, *, ours: bool = False) -> Case:
    """When to try again, from the row's count of failures before this one; null when this was the last try.

    The provider's wish only ever makes the wait longer, up to RECORDINGS_MAX_RETRY_AFTER. `ours`: no try is the last.
    """
    wish = min(retry_after or 0, settings.RECORDINGS_MAX_RETRY_AFTER)
    waits = [
        When(recording_fail_count=before, then=now(max(backoff.DELAYS[before], wish)))
        for before in range(len(backoff.DELAYS))
    ]
    last = now(max(backoff.DELAYS[-1], wish)) if ours else Value(None)
    return Case(*waits, default=last, output_field=DateTimeField())


def _one_failure_more(*, ours: bool) -> Combinable:
    """The row's count of failures. A fault of this machine spends no last try: it never fills the count."""
    if not ours:
        return F("recording_fail_count") + 1
    kept = When(recording_fail_count__gte=len(backoff.DELAYS), then=F("recording_fail_count"))
    return Case(kept, default=F("recording_fail_count") + 1, output_field=IntegerField())


class LeaseQuerySet(ClaimQuerySet):
    """Recordings, as a worker and the sweep see them."""

    def beat(self, held: Sequence[Held]) -> set[Held]:
        """Renew these leases; the answer is those that still hold. The others must stop."""
        if not held:
            return set()  # no lock is taken for nothing
        mine = self.filter(
            pk__in=[pk for pk, _ in held],
            recording_token__in={token for _, token in held},
            recording_download_status=RecordingStatus.DOWNLOADING,
        )
        with transaction.atomic():
            mine.locked().update(recording_lease_until=now(LEASE))
        return {(pk, token) for pk, token in mine.values_list("pk", "recording_token") if token} & set(held)

    def finish(self, results: Sequence[Finished]) -> set[Held]:
        """Commit these files, each under its own lease, in one UPDATE; the answer is those that were committed.

        One statement for a batch, not one for each: at hundreds of files a second the statements were the limit.
        """
        if not results:
            return set()
        facts = {result.held[0]: result.whole for result in results}
        if len(facts) < len(results):  # a stale attempt and the present one of the same recording: each under its own
            return set().union(*(self.finish([result]) for result in results))
        columns = NO_LEASE | NO_FAILURE | NO_COUNTS | {"recording_priority": PRIORITY_BULK, "recording_ready_at": now()}
        columns |= {f"recording_{name}": _each(f"recording_{name}", facts, name) for name in Whole.COLUMNS}
        batch = self.filter(pk__in=facts)
        with transaction.atomic():
            batch = batch.locked()
            batch.move("finish", RecordingStatus.READY, _leases([result.held for result in results]), **columns)
            files = {result.whole.file: result.held for result in results}
            # A row that names this attempt's file was committed by it, now or by a COMMIT whose answer got lost.
            ready = batch.filter(recording_download_status=RecordingStatus.READY, recording_file__in=files)
            won = {files[name] for name in ready.values_list("recording_file", flat=True)}
            for adopted, outcome in ((False, Outcome.READY), (True, Outcome.ADOPTED)):
                kept = [result for result in results if result.held in won and result.adopted is adopted]
                if kept:
                    size = _each("bytes_done", {result.held[0]: result.whole for result in kept}, "bytes", Attempt)
                    attempts = _attempts([result.held for result in kept])
                    if attempts.close(outcome, bytes_done=size, bytes_total=size) and not adopted:
                        transaction.on_commit(partial(_count_downloads, kept))
        return won

    def fail(self, results: Iterable[Failed]) -> set[Held]:
        """End these attempts as failed, each under its own lease, in one transaction; which of them counted."""
        won: set[Held] = set()
        with transaction.atomic():
            for result in sorted(results, key=_by_id):
                ours = result.reason in OURS
                columns: dict[str, Any] = (
                    NO_LEASE
                    | NO_FILE
                    | {
                        "recording_fail_count": _one_failure_more(ours=ours),
                        "recording_crash_count": 0,
                        "recording_reason": result.reason,
                        "recording_permanent": result.permanent,
                        "recording_next_retry_at": (
                            None if result.permanent else next_retry(result.retry_after, ours=ours)
                        ),
                    }
                )
                row = self.filter(pk=result.held[0])
                moved_on = row.exclude(recording_url=result.url) if result.permanent and result.url else row.none()
                if row.move("fail", RecordingStatus.FAILED, Q(recording_token=result.held[1]), **columns):
                    won.add(result.held)
                    facts = {"reason": result.reason, "detail": result.detail[:500], "http_status": result.http_status}
                    _attempts([result.held]).close(
                        Outcome.FAILED, bytes_done=result.bytes_done, next_retry_at=_rows_retry(), **facts
                    )
                    transaction.on_commit(partial(counting.BYTES.add, "failed", amount=result.bytes_done or 0))
                    moved_on.readdress()  # an import wrote another address meanwhile: that one was never asked
        return won

    def readdress(self) -> int:
        """The address of these was changed: a failure of the old one says nothing of the new."""
        return self.move(
            "readdress",
            RecordingStatus.MISSING,
            ~Q(recording_reason=Reason.DELETED),
            **NO_FAILURE,
            **NO_COUNTS,
            recording_last_enqueue_at=None,
        )

    def give_back(self, held: Iterable[Held]) -> int:
        """Put these back into the queue, as at SIGTERM: nothing is counted against them, and a bell rings."""
        given = []
        with transaction.atomic():
            for pk, token in sorted(held):
                if self.filter(pk=pk).move("give_back", RecordingStatus.QUEUED, Q(recording_token=token), **NO_LEASE):
                    given.append((pk, token))
            _attempts(given).close(Outcome.GIVEN_BACK)
            if given:
                bell.ring()
        return len(given)

    def lapsed(self, silent: float = LEASE) -> Q:
        """The guard of a lease that is over: no beat for `silent` (≥ LEASE) seconds, or an end no clock explains."""
        return Q(recording_lease_until__lt=now(LEASE - max(silent, LEASE))) | Q(
            recording_lease_until__gt=now(2 * LEASE)
        )

    def release(self, *, silent: float = LEASE, dead: Sequence[Held] = ()) -> int:
        """Queue again what a dead worker held: its lease is over, or its writer is proven dead (`dead`).

        The fifth crash in a row counts as one failure (`worker_crashed`), so that a recording that kills its workers
        does not do so for ever.
        """
        over = self.lapsed(silent) | _leases(dead) if dead else self.lapsed(silent)
        held = self.filter(over, recording_download_status=RecordingStatus.DOWNLOADING)
        if not held.exists() and not Attempt.objects.fenced_off().exists():
            return 0  # without asking first, each sweep would take SQLite's write lock
        with transaction.atomic():
            held = held.locked()
            failed = held.move(
                "release",
                RecordingStatus.FAILED,
                Q(recording_crash_count__gte=CRASHES_IN_A_ROW - 1),
                **NO_LEASE,
                **NO_FILE,
                recording_fail_count=F("recording_fail_count") + 1,
                recording_crash_count=0,
                recording_reason=Reason.WORKER_CRASHED,
                recording_permanent=False,
                recording_next_retry_at=next_retry(),
            )
            crashes = F("recording_crash_count") + 1
            queued = held.move("release", RecordingStatus.QUEUED, **NO_LEASE, recording_crash_count=crashes)
            Attempt.objects.fenced_off().close(Outcome.CRASHED)
            if queued:
                bell.ring()
        return failed + queued


def _each(column: str, facts: Mapping[int, object], name: str, model: type[Model] = CallLog) -> EachRow:
    """For each row its own: the `name` of what `facts` has for that recording."""
    field = cast("Field[Any, Any]", model._meta.get_field(column))
    values = {pk: getattr(fact, name) for pk, fact in facts.items()}
    return EachRow(values, output_field=field, key="pk" if model is CallLog else "recording_id")


def _leases(held: Sequence[Held]) -> Q:
    """The guard of rows that are under these leases. Few tokens, many rows: a batch is claimed under one token."""
    by_token: dict[str, list[int]] = {}
    for pk, token in held:
        by_token.setdefault(token, []).append(pk)
    return reduce(operator.or_, (Q(recording_token=token, pk__in=pks) for token, pks in by_token.items()))


def _count_downloads(results: Sequence[Finished]) -> None:
    counting.BYTES.add("ready", amount=sum(result.whole.bytes for result in results))
    counting.SECONDS.add(*(result.seconds for result in results if result.seconds is not None))


def _by_id(result: Finished | Failed) -> int:
    return result.held[0]


def _attempts(held: Sequence[Held]) -> Any:
    """The Attempt rows of these leases. Tokens may be shared by a batch, so both parts are compared."""
    tokens = {token for _, token in held}
    return Attempt.objects.filter(recording_id__in=[pk for pk, _ in held], token__in=tokens)


def _rows_retry() -> Combinable:
    """The recording's next retry, for its attempt."""
    return Subquery(CallLog.objects.filter(pk=OuterRef("recording_id")).values("recording_next_retry_at"))
