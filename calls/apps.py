"""What happened: businesses, their members and their calls."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CallsConfig(AppConfig):
    """The calls app."""

    name = "calls"
    verbose_name = _("Calls")

    def ready(self) -> None:
        """Have writers of SQLite wait for each other in our way."""
        from django.db.backends.signals import connection_created

        from calls.patience import be_patient

        connection_created.connect(be_patient, dispatch_uid="patience")
