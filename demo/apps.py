"""A provider on loopback and demo data."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """The demo app."""

    name = "demo"
