"""What happened: businesses, their members and their calls."""

from django.apps import AppConfig


class CallsConfig(AppConfig):
    """The calls app."""

    name = "calls"
