"""Each misbehaviour of the demo provider, many times over: never a false ready, and the right reason each time.

    .venv/bin/python -m faults.provider.misbehave [--times 20] [--names slow,html] [--deadline 6] [--seed N]
    .venv/bin/python -m demo.postgres .venv/bin/python -m faults.provider.misbehave

Real drains (recordings/download/worker.py) on a database and a storage of their own, 64 slots, in random order. Each
recording has a business of its own: one account's refusal or pause must not decide another's outcome. A recording that
is ready must hold the provider's bytes, on disk and in the row.
"""

import argparse
import hashlib
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from calls.models import Business, RecordingStatus
from demo.provider import SECRET, USERNAME, Provider
from faults.provider.report import Report, empty_database, quiet
from recordings.download import worker
from recordings.models import Attempt, ProviderAccount, Recording
from recordings.reasons import PERMANENT
from recordings.storage import default_storage
from recordings.tests.downloads import provider_and_storage
from recordings.tests.outcomes import OUTCOMES, READY
from recordings.tests.transitions import Witness

LATE = 1.0
"""Seconds after its deadline in which an attempt must be over."""


@contextmanager
def bench(folder: Path, deadline: int = 4) -> Iterator[Provider]:
    """A provider with its gates open, limits that the endless misbehaviours reach soon, and a crew of its own."""
    with provider_and_storage(
        folder, RECORDINGS_SLOTS=64, RECORDINGS_DEADLINE=deadline, RECORDINGS_READ_TIMEOUT=2,
        RECORDINGS_MAX_BYTES=3_000_000,
    ) as provider:  # fmt: skip
        worker._crew.cache_clear()
        provider.open_gate()
        yield provider
        worker._crew.cache_clear()


def prove(provider: Provider, names: Sequence[str], times: int, seed: int, *, timed: bool = True) -> Report:
    """Have each of these done so many times. `timed`: an attempt that is late is a finding."""
    report, witness = Report(), Witness()
    witness.watch()
    made = list(names) * times
    random.Random(seed).shuffle(made)
    for number, name in enumerate(made):
        _queue(provider, f"hello-{number}-{name}", number)
    while Recording.objects.may_start():
        worker.drain()
    said, false_ready = Counter[tuple[str, str]](), 0
    for row in Recording.objects.order_by("pk"):
        name = made[int(row.call_sid)]
        word = row.recording_reason if row.recording_download_status == "failed" else row.recording_download_status
        said[name, word] += 1
        found = [f"{name} (call {row.call_sid}): {finding}" for finding in _judge(row, provider, name, word)]
        false_ready += bool(found) and word == READY
        report.findings += found
    report.findings += witness.offences()
    witness.dismiss()
    slowest, call = _slowest()
    allowed = settings.RECORDINGS_DEADLINE + LATE
    report.expect(not timed or slowest <= allowed, f"{made[call]}: took {slowest:.2f} s, {allowed} allowed")
    report.figures = {
        "seed": seed, "misbehaviours": len(names), "attempts": Attempt.objects.count(),
        "false ready": false_ready,
        "slowest (s)": f"{slowest:.2f} of {settings.RECORDINGS_DEADLINE} + {LATE} ({made[call]})",
    }  # fmt: skip
    report.figures |= {f"{name} → {word}": count for (name, word), count in sorted(said.items())}
    return report


def _queue(provider: Provider, name: str, number: int) -> None:
    business = Business.objects.create(slug=f"b{number}", name=f"B{number}")
    ProviderAccount.objects.create(
        business=business, kind="generic", base_url=provider.base_url, hosts=provider.address, auth="basic",
        username=USERNAME, secret=SECRET,
    )  # fmt: skip
    Recording.objects.create(
        business=business, call_sid=str(number), started_at=timezone.now(), recording_url=provider.url(name, "wav"),
        recording_download_status=RecordingStatus.QUEUED, recording_last_enqueue_at=timezone.now(),
    )  # fmt: skip


def _judge(row: Recording, provider: Provider, name: str, word: str) -> Iterator[str]:
    """What must not be about one recording, in words."""
    if word != str(OUTCOMES[name]):
        yield f"{word}, and should be {OUTCOMES[name]}"
    if row.recording_download_status == READY:
        right = provider.audio(row.recording_url or "")
        stored = default_storage().path(row.recording_file).read_bytes()
        if stored != right.body:
            yield f"ready with {len(stored)} bytes that are not the provider's {len(right.body)} bytes"
        if row.recording_sha256 != hashlib.sha256(stored).hexdigest() or row.recording_bytes != len(stored):
            yield "the row tells of other bytes than the file has"
    elif row.recording_permanent is not (row.recording_reason in PERMANENT):
        yield f"permanent is {row.recording_permanent}"
    elif [file for file in default_storage().files_of(row.pk) if not file.is_part]:
        yield "failed, and left a file with its final name"


def _slowest() -> tuple[float, int]:
    """Seconds of the longest attempt, from its claim to the row that tells of its end; and the number of its call."""
    ended = Attempt.objects.filter(ended_at__isnull=False).values_list("started_at", "ended_at", "recording__call_sid")
    return max(((end - start).total_seconds(), int(call)) for start, end, call in ended if end)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--names", default="", help="only these, by commas; all without it")
    parser.add_argument("--deadline", type=int, default=6, help="RECORDINGS_DEADLINE, seconds")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    given = parser.parse_args()
    quiet()
    names = given.names.split(",") if given.names else list(OUTCOMES)
    with tempfile.TemporaryDirectory() as folder, empty_database(), bench(Path(folder), given.deadline) as provider:
        return prove(provider, names, given.times, given.seed).say()


if __name__ == "__main__":
    raise SystemExit(main())
