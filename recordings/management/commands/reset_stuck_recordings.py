"""reset_stuck_recordings: what has had no heartbeat for long goes back into the queue."""

import argparse
import re
from typing import Any

from django.core.management.base import CommandParser

from calls.models import RecordingStatus
from recordings.claims import LEASE
from recordings.management.command import ReportingCommand, counted
from recordings.models import Recording

_DURATION = re.compile(r"([0-9]{1,6})([smhd]?)")
LONGEST = 365 * 86_400
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(text: str) -> int:
    """Seconds, from 90, 90s, 10m, 2h or 1d; at least a lease, since a living worker may be silent for as long."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"“{text}” is no duration. Use one such as 90s, 10m, 2h or 1d.")
    seconds = int(match[1]) * _SECONDS[match[2]]
    if seconds < LEASE:
        raise argparse.ArgumentTypeError(f"“{text}” is too short: a working download may be silent for {LEASE}s.")
    if seconds > LONGEST:
        raise argparse.ArgumentTypeError(f"“{text}” is too long: at most {LONGEST // _SECONDS['d']}d.")
    return seconds


class Command(ReportingCommand):
    """Release what a dead worker holds. The sweep does the same by itself after 30 seconds of silence."""

    help = (
        "Put downloads without a heartbeat for so long back into the queue. The sweep does this by itself after "
        f"{LEASE} seconds; this is for when nothing sweeps. A worker that comes back later changes nothing."
    )

    def add_options(self, parser: CommandParser) -> None:
        """`--older-than`."""
        words = "Silent for this long, in s, m, h or d: 30s to 365d (10m)."
        parser.add_argument("--older-than", type=duration, default=600, metavar="TIME", help=words)

    def run(self, **options: Any) -> None:
        """The verb decides; a dry run asks its guard."""
        silent = options["older_than"]
        if self.dry_run:
            held = Recording.objects.filter(recording_download_status=RecordingStatus.DOWNLOADING)
            count = held.filter(Recording.objects.all().lapsed(silent)).count()
        else:
            count = Recording.objects.release(silent=silent)
        verb = "Would release" if self.dry_run else "Released"
        words = f"{verb} {counted(count, 'download')} without a heartbeat for {silent} s."
        self.report({"released": count, "older_than": silent, "dry_run": self.dry_run}, words)
