"""What happened: businesses, their members and their calls."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CallsConfig(AppConfig):
    """The calls app."""

    name = "calls"
    verbose_name = _("Calls")

    def ready(self) -> None:
        """Have writers of SQLite wait for each other in our way, and failed logins told."""
        from django.contrib.auth.signals import user_login_failed
        from django.db.backends.signals import connection_created

        from calls.access import tell_failed_login
        from calls.patience import be_patient

        user_login_failed.connect(tell_failed_login, dispatch_uid="login_failed")
        connection_created.connect(be_patient, dispatch_uid="patience")
