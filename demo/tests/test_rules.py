"""Which misbehaviour a request meets."""

from demo.addresses import recording_sid
from demo.library import Audio, find
from demo.provider import ACCOUNT_SID, AUTH_TOKEN, Provider, basic
from demo.tests.client import Client

AUDIO = find("hello", "wav", 2)
TWILIO_LOGIN = basic(ACCOUNT_SID, AUTH_TOKEN)


def path(provider: Provider, url: str) -> str:
    return url.removeprefix(provider.base_url)


def test_misbehaviours_follow_one_another(provider: Provider, wire: Client) -> None:
    provider.misbehave("hello", "absent", first=1)
    provider.misbehave("hello", "error-500", first=2)
    assert [wire.ask("/recordings/hello").status for _ in range(4)] == [404, 500, 500, 200]


def test_the_first_ones_are_counted_for_each_recording(provider: Provider, wire: Client) -> None:
    provider.misbehave("*", "absent", first=1)
    assert [wire.ask(f"/recordings/{name}").status for name in ("a", "b", "a", "b")] == [404, 404, 200, 200]


def test_a_recording_s_own_behaviour_goes_before_that_of_all_and_of_its_name(provider: Provider, wire: Client) -> None:
    provider.misbehave("*", "absent")
    provider.misbehave("hello-gone", "forbidden", first=1)
    assert [wire.ask("/recordings/hello-gone").status for _ in range(2)] == [403, 404]
    provider.behave("*")
    assert wire.ask("/recordings/hello-gone").status == 410


def test_a_lasting_behaviour_replaces_the_one_before(provider: Provider, wire: Client) -> None:
    provider.misbehave("hello", "absent")
    provider.misbehave("hello", "gone")
    assert wire.ask("/recordings/hello").status == 410
    provider.behave("hello")
    assert wire.ask("/recordings/hello").status == 200


def test_a_sid_can_misbehave(provider: Provider, wire: Client) -> None:
    target = path(provider, provider.twilio_url(recording_sid(3, "call", "not-yet")))
    assert [wire.ask(target, Authorization=TWILIO_LOGIN).status for _ in range(3)] == [404, 404, 200]


def test_reset_forgets_all(provider: Provider, wire: Client) -> None:
    provider.misbehave("*", "gone")
    provider.put("hello", Audio(b"x", "audio/ogg"))
    assert wire.ask("/recordings/hello").status == 410
    provider.reset()
    assert provider.counts.total().requests == 0
    assert wire.ask("/recordings/hello").body == AUDIO.body


def test_latency_goes_before_every_answer(provider: Provider, wire: Client) -> None:
    provider.latency = 3600
    wire.send("/recordings/hello-gone")
    provider.wait_for("hello-gone", requests=1)
    assert wire.read(patience=0.1).raw == b""
