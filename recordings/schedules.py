"""What the queue runs on a schedule. Created after each migrate, so that a new database has it from the start."""

from typing import Any


def create(**kwargs: Any) -> None:
    """Make or correct the schedules. `next_run` is left alone: a restart must not put a run off."""
    from django_q.models import Schedule

    for name in ("sweep", "clean_up", "look"):
        wanted = {
            "func": f"recordings.tasks.{name}",
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
            "repeats": -1,
            "args": None,
        }
        Schedule.objects.update_or_create(name=f"recordings-{name}", defaults=wanted)
