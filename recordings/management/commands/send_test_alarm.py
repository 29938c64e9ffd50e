"""send_test_alarm: try each way in which alarms are told."""

from typing import Any

from django.conf import settings
from django.utils import timezone

from recordings.alarms import ways
from recordings.alarms.record import Alarm, AlarmMessage, State, Way
from recordings.management.command import ReportingCommand, SomeFailed, UsageError

TRIED = (Way.MAIL, Way.WEBHOOK)
"""Managers get real alarms only; theirs is the same mail server."""


class Command(ReportingCommand):
    """Sends a message that says it is a test; writes nothing down."""

    help = "Send a test alarm in each configured way (ALARM_MAIL_TO, ALARM_WEBHOOK), and say what became of it."

    def run(self, **options: Any) -> None:
        """One line a way."""
        tried = [way for way in TRIED if way in ways.configured()]
        if not tried:
            raise UsageError("No way is set. Set ALARM_MAIL_TO with EMAIL_URL, or ALARM_WEBHOOK (docs/operating.md).")
        outcomes = [_outcome(way, self.dry_run) for way in tried]
        lines = [f"{each['way']} to {each['to']}: {each['error'] or each['outcome']}" for each in outcomes]
        self.report({"ways": outcomes, "dry_run": self.dry_run}, "\n".join(lines))
        if failed := [each["way"] for each in outcomes if each["error"]]:
            raise SomeFailed(f"Could not be sent: {', '.join(failed)}.")


def _outcome(way: Way, dry_run: bool) -> dict[str, Any]:
    to = ", ".join(settings.ALARM_MAIL_TO) if way == Way.MAIL else "ALARM_WEBHOOK"
    if dry_run:
        return {"way": way.value, "to": to, "outcome": "would be sent", "error": None}
    try:
        ways.send(_test_message(way))
    except ways.NotTold as error:
        return {"way": way.value, "to": to, "outcome": "not sent", "error": str(error)}
    return {"way": way.value, "to": to, "outcome": "sent", "error": None}


def _test_message(way: Way) -> AlarmMessage:
    """Of an alarm that stands in no table."""
    alarm = Alarm(
        name="test", words="This is a test: somebody ran send_test_alarm. Nothing is wrong.", do="Nothing.",
        first_seen_at=timezone.now(),
    )  # fmt: skip
    return AlarmMessage(alarm=alarm, way=way, state=State.RAISED)
