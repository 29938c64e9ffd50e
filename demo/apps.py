"""A provider on loopback and demo data."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """The demo app."""

    name = "demo"

    def ready(self) -> None:
        """Register the system check; where the service is for this machine only, it looks at nothing."""
        from demo import checks  # noqa: F401  (checks register themselves)
