"""What happened: businesses, their members and their calls."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CallsConfig(AppConfig):
    """The calls app."""

    name = "calls"
    verbose_name = _("Calls")
