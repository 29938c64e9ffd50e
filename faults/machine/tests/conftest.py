"""Fixtures of the faults' tests."""

from recordings.tests.conftest import witness  # noqa: F401
