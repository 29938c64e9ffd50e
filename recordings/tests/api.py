"""What the API's tests share: clients, and storage of their own."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework.authtoken.models import Token

from calls.models import Member
from recordings.storage import default_storage


@pytest.fixture(autouse=True)
def storage(settings: Settings, tmp_path: Path) -> Path:
    """An empty storage, there for this test only."""
    settings.RECORDINGS_ROOT = tmp_path / "recordings"
    default_storage().prepare()
    return tmp_path / "recordings"


def program_of(member: Member) -> Client:
    """A client with the member's token."""
    token, _ = Token.objects.get_or_create(user=member.user)
    return Client(headers={"Authorization": f"Token {token.key}"})


def browser_of(member: Member) -> Client:
    """A client with the member's session, which checks CSRF tokens as a real server does."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(member.user)
    return client


def body_of(response: Any) -> bytes:
    """The whole body, streamed or not."""
    body: bytes = response.getvalue()
    return body


def problem(response: Any) -> dict[str, Any]:
    """The problem document of this answer, which must be one."""
    assert response["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert {"type", "title", "status", "code", "detail", "request_id", "errors"} <= set(document)
    assert document["status"] == response.status_code
    assert document["request_id"] == response["X-Request-ID"]
    assert response["Cache-Control"] == "no-store"
    return document
