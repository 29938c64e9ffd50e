"""One try at a download: look whether the file is there, else fetch it, verify it, give it its final name.

Runs in a thread of the worker, and touches the network and the disk only. Rows are the main thread's.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

from recordings import sidecar
from recordings.away import AWAY, NO_MEMORY, of_storage, tell_out_of, tell_storage
from recordings.download import adopting, audio, resuming
from recordings.download.bandwidth import Bandwidth
from recordings.download.errors import (
    Absent,
    DownloadError,
    HostNotAllowed,
    NotAskedAgain,
    NotYet,
    OutOfDescriptors,
    Stalled,
    StorageError,
    StorageFull,
    Unauthorised,
    out_of_descriptors,
)
from recordings.download.providers import Account, media_url
from recordings.download.providers.http import Body, Client, Stopped, Transfer
from recordings.models import ProviderAccount
from recordings.reasons import Reason
from recordings.results import Failed, Finished, Held, Whole, digest
from recordings.storage import Part, Storage, StorageAway

LAST_BYTES_FIRST = 0.05
"""Seconds that a clicked recording waits to be looked through, which takes a processor: its listeners have their last
bytes first."""

log = logging.getLogger(__name__)

ABSENT_AFTER = timedelta(minutes=10)
"""A provider may answer 404 for a short while after a call; this long after its end, there is no recording."""

_verifying = threading.BoundedSemaphore(6)
"""How many attempts of a process verify and commit at once. With all of them at it, each waited for the interpreter
behind the others at every system call; so fewer at a time are more files a second."""


@dataclass
class Job:
    """What one attempt needs to know, and what it may tell while it runs (`transfer`)."""

    held: Held
    call_sid: str
    business: int
    url: str
    recording_sid: str | None
    call_ended_at: datetime | None
    account: Account | None
    transfer: Transfer
    click: bool = False
    refused: bool = False
    """The provider refused this account's credentials a moment ago, and nobody waits for this recording."""
    account_row: ProviderAccount | None = None
    """The account as it was read; what the provider says of it is said of these credentials. For the main thread."""
    earlier: Mapping[str, adopting.Earlier] = field(default_factory=dict)
    last_version: int | None = None
    bandwidth: Bandwidth | None = None
    begin_after: float = 0.0
    """Seconds to wait before the first request: jobs that were claimed together do not all answer at once."""
    kept: Part | None = None
    """What an interrupted attempt leaves for the next. Locked until its row is written: unlocked, it looks crashed."""


def run(job: Job, client: Client, storage: Storage, tell: Callable[[], None]) -> Finished | Failed | None:
    """Try once. None when the attempt was stopped from outside, to be given back. Raises nothing.

    `tell` is called when the first bytes of a click are here: somebody listens.
    """
    began = monotonic()
    try:
        if whole := adopting.whole_file(storage, job.held[0], digest(job.url), job.earlier):
            return Finished(job.held, whole, adopted=True)
        whole = _download(job, client, storage, tell)
        return Finished(job.held, whole, http_status=200, seconds=monotonic() - began)
    except Stopped:
        return None
    except DownloadError as error:
        return None if isinstance(error, StorageError) and _is_away(storage) else _failure(job, error)
    except Exception as error:  # a fault of ours must not cost the worker its other downloads
        return crashed(job, error)


def crashed(job: Job, error: BaseException) -> Failed:
    """What an attempt came to that a fault of ours ended, or that the machine had no means for. Tells of it."""
    if isinstance(error, MemoryError):
        tell_out_of(NO_MEMORY, error)
        detail = "The worker had no memory left for it."
    elif out_of_descriptors(error):
        return _failure(job, OutOfDescriptors())
    else:
        log.error("Download attempt crashed", extra={"action": "attempt", "call_sid": job.call_sid}, exc_info=error)
        detail = f"{type(error).__name__} in our own code."
    return Failed(job.held, Reason.WORKER_CRASHED, permanent=False, url=job.url, detail=detail)


def _is_away(storage: Storage) -> bool:
    """Whether the storage as a whole went away under an attempt, which then waits in the queue until it is back."""
    try:
        storage.check()
    except StorageAway as error:
        return of_storage(error) is AWAY
    return False


def _download(job: Job, client: Client, storage: Storage, tell: Callable[[], None]) -> Whole:
    if job.account is None:
        raise HostNotAllowed("The business has no provider account; an operator can add one.")
    if job.refused:
        raise NotAskedAgain(retry_after=60)
    if job.account.auth != "none" and not job.account.secret:
        raise Unauthorised("The account's secret is empty, or its environment variable is not set.")
    if job.begin_after:
        job.transfer.rest(job.begin_after)
    part = _received(job, job.account, client, storage, tell)
    try:
        if job.click:
            sleep(LAST_BYTES_FIRST)
        with _verifying:
            whole = _verified(job, part)
    except BaseException as error:
        # What is whole and not yet looked through is for the next attempt; what did not decode never will.
        _let_go(job, part, for_the_next=isinstance(error, Stopped | Stalled) and job.transfer.validator is not None)
        raise
    part.close()
    return whole


def _verified(job: Job, part: Part) -> Whole:
    """Looked through from end to end, and under its final name."""
    found = audio.inspect(part.path)
    job.transfer.check()  # the lease may have been lost, or the deadline passed, while it was decoded
    if found.peaks:
        sidecar.keep(part.path, found.peaks.json())
    name = part.commit(job.transfer.version)
    return Whole(name, part.size, part.sha256(), found.content_type, found.duration, job.transfer.version)


def _let_go(job: Job, part: Part, *, for_the_next: bool) -> None:
    if for_the_next:
        job.kept = part
        return
    try:
        part.discard()
    finally:
        part.close()


def _received(job: Job, account: Account, client: Client, storage: Storage, tell: Callable[[], None]) -> Part:
    """The whole body in a new part, its connection already free for the next."""
    storage.demand_room()  # before a provider is asked for what could not be kept
    left = resuming.leftover(storage, job.held[0], digest(job.url), job.earlier)
    if left and left.is_whole:
        job.transfer.goes_on(left.rest)
        return _begun(job, storage, left, left.rest.total)
    url = media_url(account, job.url, job.recording_sid)
    with client.fetch(account, url, job.transfer, left.rest if left else None) as body:
        part = _begun(job, storage, left if body.start else None, body.total)
        try:
            _write(job, body, part, tell)
        except BaseException as error:
            _let_go(job, part, for_the_next=resuming.may_go_on(error, job.transfer, part))
            raise
    return part


def _begun(job: Job, storage: Storage, left: resuming.Leftover | None, total: int | None) -> Part:
    """A new part, with what a dead attempt left of the same content; whatever else was left is of no use any more."""
    job.transfer.version = left.version if left else resuming.new_version(job.last_version)
    part = storage.begin(*job.held, expected_bytes=total)
    try:
        if left:
            part.take_over(storage.path(left.file.name), left.rest.start)
        resuming.clear(storage, job.held[0], job.earlier)
    except BaseException:
        _let_go(job, part, for_the_next=False)
        raise
    return part


def _write(job: Job, body: Body, part: Part, tell: Callable[[], None]) -> None:
    """The body into the part; as soon as the first bytes tell what it is, so does the transfer."""
    transfer, head = job.transfer, part.head(audio.HEAD)
    for chunk in body.chunks():
        part.write(chunk)
        if (wait := job.bandwidth.take(len(chunk)) if job.bandwidth else 0.0) > 0:
            transfer.rest(wait)
        if transfer.content_type is not None:
            continue
        head = (head + chunk)[: audio.HEAD]
        if len(head) == audio.HEAD or part.size == body.total:
            transfer.content_type = audio.likely_type(head)
            if job.click:
                tell()


def _failure(job: Job, error: DownloadError) -> Failed:
    if isinstance(error, StorageError | StorageFull):
        tell_storage(error)
    if isinstance(error, NotYet) and _ended_long_ago(job.call_ended_at):
        error = Absent(http_status=error.http_status)
    return Failed(
        held=job.held,
        reason=error.reason,
        permanent=error.permanent,
        url=job.url,
        detail=error.detail,
        retry_after=error.retry_after,
        http_status=error.http_status,
        bytes_done=job.transfer.bytes_done,
    )


def _ended_long_ago(ended_at: datetime | None) -> bool:
    return ended_at is not None and datetime.now(UTC) - ended_at > ABSENT_AFTER
