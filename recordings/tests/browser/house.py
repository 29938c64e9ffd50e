"""A real service with one business, a real provider, and a browser's page that remembers what it asked for."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request

from demo.provider import Provider
from demo.service import Service, wait_until

PASSWORD = "a-secret-of-tests"
LISTENER, MANAGER, OPERATOR = "lior", "dana", "omri"
SLUG = "acme"
NOON = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
_numbers = itertools.count(1)


@dataclass
class House:
    """The service and the provider behind it. The calls of a test are told apart by their agent."""

    service: Service
    provider: Provider
    sessions: dict[str, Any] = field(default_factory=dict)
    """User → the cookie of a session that has begun."""

    def settle(self) -> None:
        """Make the business, its provider account, its two members, and an operator."""
        host = urlsplit(self.provider.base_url).netloc
        self.service.manage(
            "create_business", SLUG, "--name", "Acme", "--timezone", "Asia/Jerusalem", "--provider", "generic",
            "--base-url", self.provider.base_url, "--hosts", host, "--auth", "none",
        )  # fmt: skip
        for user, role in ((LISTENER, "listener"), (MANAGER, "manager")):
            self.service.manage(
                "create_member", user, "--business", SLUG, "--role", role, "--password-stdin", stdin=PASSWORD
            )

        self.service.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
        self.service.manage("createsuperuser", "--noinput", "--username", OPERATOR, "--email", "")

    def call(self, agent: str, recording: str | None = None) -> str:
        """Bring in a call whose recording the provider knows by this name; returns its SID. Each is older."""
        number = next(_numbers)
        sid = f"CA{number:06}"
        self.service.sql(
            "INSERT INTO call_log (business_id, call_sid, direction, from_number, to_number, search_digits, status, "
            "agent, started_at, duration, recording_url) "
            "VALUES ((SELECT id FROM calls_business WHERE slug = %s), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            SLUG, sid, "inbound", f"+97254{number:07}", "+97231234567", f"97254{number:07} 97231234567", "completed",
            agent, (NOON - timedelta(minutes=number)).strftime("%Y-%m-%d %H:%M:%S"), 5,
            recording and self.provider.url(recording),
        )  # fmt: skip
        return sid

    def status(self, sid: str) -> str:
        """Where a recording stands."""
        ((status,),) = self.service.sql("SELECT recording_download_status FROM call_log WHERE call_sid = %s", sid)
        return str(status)


@dataclass
class Visit:
    """A person at a browser. `asked` is what it has asked our server for, but for pages and static files."""

    page: Page
    house: House
    asked: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def note(self, request: Request) -> None:
        """Remember a request under /api/."""
        parts = urlsplit(request.url)
        if parts.path.startswith("/api/"):
            self.asked.append((request.method, parts.path))

    def overhear(self, said: ConsoleMessage) -> None:
        """Remember what the browser says of something that our policy forbids."""
        if "Content Security Policy" in said.text:
            self.faults.append(said.text)

    def open(self, path: str = "/") -> None:
        """Go to a page of ours."""
        self.page.goto(self.house.service.url + path)

    def log_in(self, user: str = LISTENER, path: str = "/") -> None:
        """Go to a page as somebody who is logged in; the first time it is `pass_the_login`, later that session."""
        if user not in self.house.sessions:
            self.pass_the_login(user, path)
            cookies = self.page.context.cookies()
            self.house.sessions[user] = [one for one in cookies if one.get("name") == "prosaasil_session"]
            return
        self.page.context.add_cookies(self.house.sessions[user])
        self.open(path)

    def pass_the_login(self, user: str = LISTENER, path: str = "/") -> None:
        """Log in on the way to a page, as people do."""
        self.open(path)
        self.page.fill("[name=username]", user)
        self.page.fill("[name=password]", PASSWORD)
        self.page.click("main [type=submit]")
        self.page.wait_for_url(self.house.service.url + path)

    def row(self, sid: str) -> Locator:
        """A call on the page."""
        return self.page.locator(f"#call-{sid}")

    def play(self, sid: str) -> None:
        """Press Play."""
        self.row(sid).get_by_role("button", name="Play").click()

    def hears(self, sid: str) -> None:
        """Wait until this recording, and no other, is heard: its clock goes on."""
        self.page.locator(f"#call-{sid}[data-activity=playing]").wait_for()
        before = self.position()
        # Not wait_for_function: that evaluates a string, which the page's policy forbids.
        wait_until(lambda: self.position() > before)
        assert self.page.locator(".call[data-activity=playing]").count() == 1

    def position(self) -> float:
        """Seconds at which the player's <audio> stands."""
        return float(self.page.evaluate("document.querySelector('recording-player audio').currentTime"))

    def press(self, name: str) -> None:
        """Press a button of the player."""
        self.player.get_by_role("button", name=name, exact=True).click()

    @property
    def player(self) -> Locator:
        """The dock at the foot of the page."""
        return self.page.locator("recording-player")

    def label(self, sid: str) -> str:
        """The word that a row's recording has now."""
        return self.row(sid).locator("[data-label]").inner_text()

    def actions(self) -> list[tuple[str, str]]:
        """What was asked for that may start a download or move audio, each once for all ranges of an <audio>."""
        looks = ("/status", "/events", "/peaks")
        return list(dict.fromkeys(one for one in self.asked if not one[1].endswith(looks)))


@contextmanager
def visit(browser: Browser, house: House, **options: Any) -> Iterator[Visit]:
    """A browser of its own, with no cookies. A script that fails, or is refused by the policy, fails the test."""
    with browser.new_context(**{"locale": "en-GB"} | options) as context:
        context.set_default_timeout(20_000)
        page = context.new_page()
        here = Visit(page, house)
        page.on("request", here.note)
        page.on("pageerror", lambda error: here.faults.append(str(error)))
        page.on("console", here.overhear)
        yield here
        assert here.faults == [], here.faults
