"""For tests of downloads: a business whose account is the demo provider's, and its recordings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import override_settings

from calls.models import Business
from calls.tests.factories import make_account, make_business, make_recording
from demo.provider import SECRET, USERNAME, Provider
from recordings.models import Recording
from recordings.storage import default_storage


@contextmanager
def provider_and_storage(tmp_path: Any, **settings: Any) -> Iterator[Provider]:
    """A provider that the settings allow, and an empty storage that is ready."""
    with Provider() as provider, override_settings(
        RECORDINGS_ALLOW_PRIVATE_HOSTS=frozenset({provider.address}), RECORDINGS_ROOT=tmp_path / "recordings",
        RUN_DIR=tmp_path / "run", RECORDINGS_MIN_FREE_BYTES=0, **settings,
    ):  # fmt: skip
        default_storage().prepare()
        yield provider


def business_of(provider: Provider, **columns: Any) -> Business:
    """A business with an account at the provider, with the right credentials."""
    business = make_business()
    facts = {
        "base_url": provider.base_url, "hosts": provider.address,
        "auth": "basic", "username": USERNAME, "secret": SECRET,
    }  # fmt: skip
    make_account(business, **facts | columns)
    return business


def waiting(business: Business, provider: Provider, name: str, **columns: Any) -> Recording:
    """A queued recording that the provider serves under `name`."""
    return make_recording(business, "queued", recording_url=provider.url(name, "wav"), **columns)
