"""Getting and playing the audio."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RecordingsConfig(AppConfig):
    """The recordings app."""

    name = "recordings"
    verbose_name = _("Recordings")

    def ready(self) -> None:
        """Register the system checks and, after each migrate, the queue's schedules."""
        from django.db.models.signals import post_migrate

        from recordings import checks, schedules  # noqa: F401  (checks register themselves)

        post_migrate.connect(schedules.create, sender=self)
