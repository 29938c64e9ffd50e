"""Late answers, refusals and redirects, as a plain socket sees them."""

import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from demo.provider import Provider
from demo.tests.client import HELLO, Client, ask_hello


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("slow-start", {"milliseconds": 60}),
        ("drip-headers", {"seconds": 0.001}),
        ("slow", {"bytes_per_second": 300_000}),
    ],
)
def test_a_late_answer_is_right_in_the_end(provider: Provider, name: str, options: dict[str, Any]) -> None:
    provider.misbehave(f"hello-{name}", name, **options)
    started = time.monotonic()
    reply = ask_hello(provider, name)
    assert (reply.status, reply.body, reply.end) == (200, HELLO, "whole")
    assert time.monotonic() - started > 0.05


def test_drip_sends_a_byte_at_a_time(provider: Provider) -> None:
    reply = ask_hello(provider, "drip", patience=0.2)
    assert reply.end == "open"
    assert reply.headers["content-length"] == str(len(HELLO))
    assert len(reply.body) == 1


@pytest.mark.parametrize(("name", "before"), [("gate-start", 0), ("gate-body", len(HELLO) // 2)])
def test_a_gate_holds_until_it_is_opened(provider: Provider, name: str, before: int) -> None:
    with Client(provider) as client:
        client.send(f"/recordings/hello-{name}")
        first = client.read(patience=0.2)
        assert (first.end, len(first.body)) == ("open", before)
        provider.open_gate(f"hello-{name}")
        rest = client.read(patience=0.5)
    assert (first.raw + rest.raw).endswith(HELLO)


@pytest.mark.parametrize(
    ("name", "status", "retry_after"),
    [
        ("absent", 404, None),
        ("gone", 410, None),
        ("unauthorised", 401, None),
        ("forbidden", 403, None),
        ("rate-limited", 429, "2"),
        ("rate-limited-bare", 429, None),
        ("error-500", 500, None),
        ("error-502", 502, None),
        ("error-503", 503, None),
        ("error-503-later", 503, "2"),
    ],
)
def test_a_refusal_has_its_status_and_keeps_the_connection(
    provider: Provider, name: str, status: int, retry_after: str | None
) -> None:
    with Client(provider) as client:
        for _ in range(2):
            reply = client.ask(f"/recordings/hello-{name}")
            assert (reply.status, reply.end, reply.headers.get("retry-after")) == (status, "whole", retry_after)
            assert b"<TwilioResponse>" in reply.body
    assert provider.count(f"hello-{name}").requests == 2
    assert provider.count(f"hello-{name}").bodies == 0


def test_a_rate_limit_may_give_a_date(provider: Provider) -> None:
    reply = ask_hello(provider, "rate-limited-date")
    wait = parsedate_to_datetime(reply.headers["retry-after"]).timestamp() - time.time()
    assert reply.status == 429
    assert -60 < wait <= 2


@pytest.mark.parametrize(("name", "statuses"), [("not-yet", [404, 404, 200, 200]), ("flaky", [503, 200, 200])])
def test_some_failures_end(provider: Provider, name: str, statuses: list[int]) -> None:
    assert [ask_hello(provider, name).status for _ in statuses] == statuses


@pytest.mark.parametrize(("name", "hops"), [("redirect", 1), ("redirect-3", 3), ("redirect-4", 4)])
def test_redirects_lead_to_the_recording(provider: Provider, name: str, hops: int) -> None:
    target = f"/recordings/hello-{name}.mp3?RequestedChannels=2"
    with Client(provider) as client:
        for _ in range(hops):
            reply = client.ask(target)
            assert reply.status == 302
            target = reply.headers["location"]
        reply = client.ask(target)
    assert (reply.status, reply.headers["content-type"]) == (200, "audio/mpeg")
    assert provider.count(f"hello-{name}").requests == hops + 1
    assert provider.count(f"hello-{name}").bodies == 1


def test_a_redirect_loop_does_not_end(provider: Provider) -> None:
    target = "/recordings/hello-redirect-loop"
    with Client(provider) as client:
        for _ in range(30):
            reply = client.ask(target)
            assert reply.status == 302
            target = reply.headers["location"]


def test_redirects_to_other_hosts(provider: Provider) -> None:
    away, inward = ask_hello(provider, "redirect-away"), ask_hello(provider, "redirect-inward")
    assert away.headers["location"] == f"http://localhost:{provider.port}/recordings/hello-redirect-away"
    assert inward.headers["location"] == "http://169.254.169.254/recordings/hello-redirect-inward"
    provider.misbehave("hello-redirect-away", "redirect", location="http://127.0.0.1:9{path}", status=307)
    moved = ask_hello(provider, "redirect-away")
    assert (moved.status, moved.headers["location"]) == (307, "http://127.0.0.1:9/recordings/hello-redirect-away")
