"""The provider, controlled over HTTP."""

import hashlib
import json
from typing import Any

import pytest

from demo.library import find
from demo.misbehaviour import TABLE
from demo.provider import Provider
from demo.tests.client import Client


def control(wire: Client, method: str, what: str, said: object = None, status: int = 200) -> Any:
    body = b"" if said is None else json.dumps(said).encode()
    reply = wire.ask(f"/_control/{what}", method, body, Authorization="")
    assert reply.status == status, reply.body
    return json.loads(reply.body)


def test_behaviour_is_set_and_dropped(wire: Client) -> None:
    control(wire, "POST", "behaviour", {"recording": "hello", "name": "slow-start", "options": {"milliseconds": 1}})
    control(wire, "POST", "behaviour", {"name": "gone", "first": 1})
    assert [wire.ask(f"/recordings/{name}").status for name in ("hello", "call", "call")] == [200, 410, 200]
    control(wire, "POST", "behaviour", {"recording": "call", "name": "absent"})
    control(wire, "DELETE", "behaviour?recording=call")
    control(wire, "DELETE", "behaviour")
    assert wire.ask("/recordings/call").status == 200


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"name": "nothing"},
        {"name": "slow", "options": {"speed": 1}},
        {"name": "slow", "first": "many"},
        {"name": "slow", "options": 5},
        [1],
        "x",
    ],
)
def test_nonsense_is_400_and_says_why(wire: Client, said: object) -> None:
    assert control(wire, "POST", "behaviour", said, status=400)["error"]


def test_a_body_that_is_no_json_is_400(wire: Client) -> None:
    assert wire.ask("/_control/behaviour", "POST", b"{").status == 400


def test_a_web_page_may_not(wire: Client) -> None:
    assert wire.ask("/_control/reset", "POST", Origin="http://evil.example").status == 403


def test_counts_are_read_and_reset(wire: Client) -> None:
    wire.ask("/recordings/hello", Range="bytes=0-1")
    expected = {"requests": 1, "bodies": 1, "whole": 1, "ranges": 1, "refused": 0}
    said = control(wire, "GET", "counts")
    assert said["recordings"] == {"hello": expected}
    assert said["total"] == expected
    assert control(wire, "GET", "counts?recording=hello") == expected
    control(wire, "POST", "reset")
    assert control(wire, "GET", "counts")["recordings"] == {}


def test_the_log_has_no_credentials(wire: Client) -> None:
    wire.ask("/recordings/hello-gone")
    wire.ask("/recordings/hello")
    (seen,) = control(wire, "GET", "log?recording=hello-gone")
    assert seen["status"] == 410
    assert seen["headers"]["authorization"] == "Basic"


def test_every_misbehaviour_is_explained(wire: Client) -> None:
    said = control(wire, "GET", "misbehaviours")
    assert [one["name"] for one in said] == list(TABLE)
    assert all(one["does"] and "partial(" not in one["does"] for one in said)


def test_what_is_served_can_be_asked_and_put(wire: Client) -> None:
    facts = control(wire, "GET", "audio?url=/recordings/bulk-1")
    body = wire.ask("/recordings/bulk-1").body
    assert facts["sha256"] == hashlib.sha256(body).hexdigest() == find("bulk-1").sha256
    assert facts["bytes"] == len(body)
    control(wire, "GET", "audio?url=/elsewhere", status=400)
    wire.ask("/_control/audio?recording=mine", "PUT", b"bytes", Content_Type="audio/ogg")
    reply = wire.ask("/recordings/mine")
    assert (reply.body, reply.headers["content-type"]) == (b"bytes", "audio/ogg")


def test_gates_and_latency(provider: Provider, wire: Client) -> None:
    control(wire, "POST", "gate", {"recording": "hello-gate-start"})
    assert wire.ask("/recordings/hello-gate-start").status == 200
    control(wire, "POST", "gate", {"close": True})
    wire.send("/recordings/hello-gate-start")
    assert wire.read(patience=0.1).end == "open"
    with Client(provider) as other:
        control(other, "POST", "latency", {"seconds": 0.5})
        control(other, "POST", "latency", {"seconds": -1}, status=400)
    assert provider.latency == 0.5
