"""For tests against a living service: a business at the demo provider, a token, and requests over a real socket."""

import http.client
import json
import os
from dataclasses import dataclass
from typing import Any

from demo.provider import Provider
from demo.service import Service

LONG = os.environ.get("LONG") == "1"
"""The long forms: LONG=1 ./test recordings/tests/test_herd.py"""

PASSWORD = "correct horse battery"


@dataclass
class Customer:
    """A business of a living service, and a program of it that holds a token."""

    service: Service
    provider: Provider
    token: str
    slug: str

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=30)
        try:
            headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"} | headers
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def post_form(self, path: str, form: str, cookie: str) -> tuple[int, list[str]]:
        """Status and cookies of one posted form, as a browser without JavaScript sends it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=30)
        try:
            headers = {
                "Content-Type": "application/x-www-form-urlencoded",
                "Cookie": cookie,
                "Referer": self.service.url,
            }
            connection.request("POST", path, body=form, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.msg.get_all("Set-Cookie") or []
        finally:
            connection.close()

    def import_recordings(self, names: dict[str, str]) -> None:
        """Bring in a call for each call_sid, with the provider's recording of that name."""
        lines = [
            {"call_sid": sid, "started_at": "2026-01-02T10:00:00Z", "recording_url": self.provider.url(name, "wav")}
            for sid, name in names.items()
        ]
        self.service.manage("import_calls", "-", "--business", self.slug, stdin="\n".join(map(json.dumps, lines)))

    def bring(self, sid: str, name: str) -> None:
        """The same for one call, at once: its row is written as the import would write it."""
        self.service.sql(
            "INSERT INTO call_log (business_id, call_sid, direction, from_number, to_number, search_digits, status, "
            "agent, started_at, recording_url) VALUES ((SELECT id FROM calls_business WHERE slug = %s), %s, 'inbound', "
            "'', '', ' ', 'completed', '', %s, %s)",
            self.slug, sid, "2026-01-02 10:00:00", self.provider.url(name, "wav"),
        )  # fmt: skip

    def statuses(self) -> dict[str, int]:
        """How many recordings stand in each status, as the monitoring query says."""
        rows = self.service.sql(
            "SELECT recording_download_status, COUNT(*) FROM call_log WHERE recording_url IS NOT NULL"
            " GROUP BY recording_download_status"
        )
        return {str(status): int(count) for status, count in rows}


def customer(service: Service, provider: Provider, slug: str = "acme") -> Customer:
    """Make a business whose account is the provider's, with a member who has a token."""
    service.manage(
        "create_business", slug, "--name", slug.title(), "--provider", "generic",
        "--base-url", provider.base_url, "--hosts", provider.address, "--auth", "none",
    )  # fmt: skip
    made = service.manage(
        "create_member", f"{slug}-program", "--business", slug, "--role", "listener", "--password-stdin", "--token",
        stdin=PASSWORD,
    )  # fmt: skip
    return Customer(service, provider, made.stdout.split()[-1], slug)
