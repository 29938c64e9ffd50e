"""look_for_alarms: one look, and what is wrong now."""

from typing import Any

from django.db.models import QuerySet

from recordings.alarms import looking
from recordings.alarms.record import Alarm
from recordings.management.command import ReportingCommand, SomeFailed, counted


class Command(ReportingCommand):
    """For a timer beside web and cluster that run without `serve`: silent workers can't report their own silence."""

    help = (
        "Look once whether an alarm is to be raised or is over, tell who is to be told, and show what is wrong. "
        "`serve` does this every 30 seconds by itself. Exit status 1 while an alarm is raised."
    )
    writes = False  # looking twice is harmless; there is nothing to try out

    def run(self, **options: Any) -> None:
        """One line an alarm."""
        looking.look()
        open_ones = Alarm.objects.open().select_related("business").order_by("pk")
        raised = open_ones.raised()
        facts = {"raised": _told(raised), "seen_once": _told(open_ones.filter(raised_at=None))}
        lines = [f"{alarm}. {alarm.words} {alarm.do}" for alarm in raised]
        self.report(facts, "\n".join(lines) or "No alarm is raised.")
        if lines:
            raise SomeFailed(f"{counted(len(lines), 'alarm')} raised.")


def _told(alarms: QuerySet[Alarm]) -> list[dict[str, Any]]:
    return [
        {
            "alarm": alarm.name, "business": alarm.business.slug if alarm.business else None, "words": alarm.words,
            "do": alarm.do, "since": alarm.began,
        }
        for alarm in alarms
    ]  # fmt: skip
