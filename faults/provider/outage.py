"""A provider that was down for an hour comes back to thousands of due retries: no storm before, no storm after.

    .venv/bin/python -m faults.provider.outage [--recordings 10000] [--cap 10] [--seconds 60] [--how 503|refused|stall]
    .venv/bin/python -m demo.postgres .venv/bin/python -m faults.provider.outage

A real service with one business, whose recordings have all failed for now with their retry long due. For `seconds` the
provider is still down: how many attempts begin is counted. Then it is back, and time is moved on to the end of the
account's rest: never more at once than the account's cap, by the provider's count and by the attempts' own times, and
everything is ready in the end.
"""

import argparse
import time
from collections import Counter
from datetime import datetime
from itertools import accumulate

from demo.provider import Provider
from demo.service import Service, wait_until
from faults.provider.asks import own_service
from faults.provider.report import Report, quiet
from recordings.tests.living import Customer, customer

LATENCY = 0.05
"""Seconds that the provider takes for an answer: what is at once is seen to be so."""

PREFIX = "OUT"
"""What the calls' names begin with, to tell their attempts from others'."""

PAST = "2026-01-01 00:00:00.000000"


def prove(
    acme: Customer, recordings: int, cap: int, seconds: float, *, how: str = "503", patience: float = 600
) -> Report:
    """With a service that runs and downloads nothing now. `how`: what the provider does while it is down."""
    report, service, provider = Report(), acme.service, acme.provider
    names = {f"{PREFIX}{number:06}": f"bulk-out-{number:06}" for number in range(recordings)}
    acme.import_recordings(names)
    others = sum(acme.statuses().values()) - recordings
    provider.counts.reset()
    service.sql("UPDATE recordings_provideraccount SET most_at_once = %s", cap)
    if how == "refused":
        provider.stop()
    else:
        provider.misbehave("*", {"503": "error-503", "stall": "stall-start"}[how])
    service.sql(
        "UPDATE call_log SET recording_download_status = 'failed', recording_reason = 'provider_error',"
        " recording_permanent = %s, recording_fail_count = 1, recording_next_retry_at = %s"
        " WHERE recording_download_status = 'missing'", False, PAST,
    )  # fmt: skip
    wait_until(lambda: _times(service), 30, "the first attempt begins")
    time.sleep(seconds)
    in_outage = _per_second(service)
    judge_outage(report, in_outage, cap, seconds)
    provider.behave("*")
    if how == "refused":
        provider.start()
    service.sql("UPDATE recordings_provideraccount SET rests_until = %s WHERE rests_until IS NOT NULL", PAST)
    back = time.monotonic()
    _wait_until_ready(acme, others + recordings, patience)
    took = time.monotonic() - back
    most = _most_at_once(service)
    report.expect(most <= cap, f"{most} attempts were under way at once")
    report.expect(provider.counts.most_at_once <= cap, f"the provider saw {provider.counts.most_at_once} at once")
    bodies = Counter(provider.count(name).whole for name in names.values())
    report.expect(bodies == {1: recordings}, f"whole bodies a recording: {dict(bodies)}")
    wrong = [sid for sid, sha in service.sql("SELECT call_sid, recording_sha256 FROM call_log")
             if sid in names and sha != provider.audio(provider.url(names[str(sid)], "wav")).sha256]  # fmt: skip
    report.expect(not wrong, f"{len(wrong)} are ready with other bytes")
    report.figures = {
        "recordings": recordings, "cap": cap, "down for (s)": seconds, "how": how,
        "attempts while down": sum(in_outage), "in any one second": max(in_outage, default=0),
        "attempts second by second": " ".join(map(str, in_outage)),
        "most at once (attempts)": most, "most at once (provider)": provider.counts.most_at_once,
        "seconds until all were ready": round(took, 1), "statuses": acme.statuses(),
    }  # fmt: skip
    return report


def judge_outage(report: Report, per_second: list[int], cap: int, seconds: float) -> None:
    """No storm: at the start no more than a cap or two until the trouble is plain, then a handful after each rest."""
    report.expect(max(per_second, default=0) <= 2 * cap, f"{max(per_second)} attempts in one second")
    allowed = 4 * cap + seconds
    report.expect(sum(per_second) <= allowed, f"{sum(per_second)} attempts while it was down, {allowed:.0f} allowed")


def _wait_until_ready(acme: Customer, recordings: int, patience: float) -> None:
    """Until all are; those that failed meanwhile are made due, as time would make them."""

    def ready() -> bool:
        acme.service.sql(
            "UPDATE call_log SET recording_next_retry_at = %s WHERE recording_download_status = 'failed'"
            " AND recording_next_retry_at IS NOT NULL", PAST,
        )  # fmt: skip
        return acme.statuses() == {"ready": recordings}

    wait_until(ready, patience, "everything is ready")


def _times(service: Service) -> list[tuple[float, float | None]]:
    """When each attempt began and ended, in Unix seconds."""
    found = service.sql(
        "SELECT a.started_at, a.ended_at FROM recordings_attempt a JOIN call_log c ON c.id = a.recording_id"
        " WHERE c.call_sid LIKE %s ORDER BY a.started_at", f"{PREFIX}%",
    )  # fmt: skip
    return [(_seconds(start), None if end is None else _seconds(end)) for start, end in found]


def _seconds(moment: datetime | str) -> float:
    return (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).timestamp()


def _per_second(service: Service) -> list[int]:
    """How many attempts began in each second since the first."""
    starts = [start for start, _ in _times(service)]
    counts = Counter(int(start - starts[0]) for start in starts)
    return [counts[second] for second in range(max(counts, default=-1) + 1)]


def _most_at_once(service: Service) -> int:
    """By the rows' own times, which the database gave: one that ends makes room for one that begins then."""
    events = [(start, 1) for start, _ in _times(service)] + [(end, -1) for _, end in _times(service) if end]
    return max(accumulate(change for _, change in sorted(events)), default=0)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=10_000)
    parser.add_argument("--cap", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60, help="that the provider stays down under observation")
    parser.add_argument("--how", choices=("503", "refused", "stall"), default="503")
    given = parser.parse_args()
    quiet()
    environment = {"RECORDINGS_READ_TIMEOUT": "2"}
    with (
        Provider(auth="none", latency=LATENCY, bulk_bytes=4_000) as provider,
        own_service(provider, **environment) as one,
    ):
        one.start()
        return prove(customer(one, provider), given.recordings, given.cap, given.seconds, how=given.how).say()


if __name__ == "__main__":
    raise SystemExit(main())
