"""What the provider serves, to whom, and what it has seen."""

import threading

import miniaudio
import pytest

from demo.addresses import recording_sid
from demo.library import MODIFIED, Audio, find
from demo.provider import ACCOUNT_SID, AUTH_TOKEN, Provider, basic
from demo.tests.client import Client

AUDIO = find("hello", "wav", 2)
TWILIO_LOGIN = basic(ACCOUNT_SID, AUTH_TOKEN)


def path(provider: Provider, url: str) -> str:
    return url.removeprefix(provider.base_url)


def test_a_generic_recording_comes_with_its_length_type_and_validators(wire: Client) -> None:
    reply = wire.ask("/recordings/hello")
    assert (reply.status, reply.body) == (200, AUDIO.body)
    assert reply.headers["content-type"] == "audio/x-wav"
    assert reply.headers["etag"] == AUDIO.validators[0]
    assert reply.headers["last-modified"] == MODIFIED


def test_twilio_s_forms_follow_the_url(provider: Provider, wire: Client) -> None:
    sid = recording_sid(1, "call")
    for extension, query, channels, kind in [
        ("", "", 1, "audio/x-wav"),
        ("wav", "?RequestedChannels=2", 2, "audio/x-wav"),
        ("mp3", "", 1, "audio/mpeg"),
        ("mp3", "?RequestedChannels=2", 2, "audio/mpeg"),
    ]:
        target = path(provider, provider.twilio_url(sid, extension)) + query
        reply = wire.ask(target, Authorization=TWILIO_LOGIN)
        assert (reply.status, reply.headers["content-type"]) == (200, kind)
        assert reply.body == provider.audio(target).body
        read = miniaudio.mp3_get_info if extension == "mp3" else miniaudio.wav_get_info
        assert read(reply.body).nchannels == channels


def test_twilio_s_metadata_is_json_and_no_fetch_of_the_audio(provider: Provider, wire: Client) -> None:
    sid = recording_sid(1, "long")
    reply = wire.ask(path(provider, provider.twilio_url(sid, "json")), Authorization=TWILIO_LOGIN)
    assert reply.headers["content-type"] == "application/json"
    assert b'"duration": "600"' in reply.body
    assert provider.count(sid).requests == 1
    assert provider.count(sid).bodies == 0


def test_the_ten_minute_mp3_arrives_and_decodes_to_ten_minutes(wire: Client) -> None:
    body = wire.ask("/recordings/long.mp3").body
    assert miniaudio.decode(body, nchannels=2, sample_rate=16000).num_frames / 16000 == pytest.approx(600, abs=0.1)


def test_bulk_recordings_have_the_size_asked_for() -> None:
    with Provider(bulk_bytes=5000) as provider, Client(provider) as wire:
        bodies = [wire.ask(f"/recordings/bulk-{number:06d}").body for number in range(20)]
        assert {len(body) for body in bodies} == {5000}
        assert len(set(bodies)) == 20
        assert bodies[3] == provider.audio("/recordings/bulk-000003").body


def test_what_is_put_is_served(provider: Provider, wire: Client) -> None:
    provider.put("mine", Audio(b"one", "audio/ogg", etag=None, modified=None))
    reply = wire.ask("/recordings/mine.wav")
    assert (reply.body, reply.headers["content-type"]) == (b"one", "audio/ogg")
    assert not {"etag", "last-modified"} & set(reply.headers)


@pytest.mark.parametrize("target", ["/", "/recordings/a/b", "/2010-04-01/Accounts/AC1/Calls.json", "/_control/nothing"])
def test_other_urls_are_404(wire: Client, target: str) -> None:
    assert wire.ask(target).status == 404


def test_only_get_and_head_are_answered(wire: Client) -> None:
    assert wire.ask("/recordings/hello", "DELETE").status == 405


def test_head_has_the_headers_of_get_and_no_body(provider: Provider, wire: Client) -> None:
    reply = wire.ask("/recordings/hello", "HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-length"] == str(len(AUDIO.body))
    assert provider.count("hello").bodies == 0
    assert wire.ask("/recordings/hello").body == AUDIO.body


@pytest.mark.parametrize("login", ["", "Basic bm90OnJpZ2h0", "Bearer demo-secret", TWILIO_LOGIN])
def test_wrong_credentials_are_401_and_counted(provider: Provider, wire: Client, login: str) -> None:
    reply = wire.ask("/recordings/hello", Authorization=login)
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Basic")
    assert provider.count("hello").refused == 1
    assert provider.count("hello").bodies == 0


def test_twilio_wants_the_account_s_own_credentials(provider: Provider, wire: Client) -> None:
    sid = recording_sid(1)
    target = path(provider, provider.twilio_url(sid))
    other = path(provider, provider.twilio_url(sid, account_sid="AC" + "0" * 32))
    assert wire.ask(target).status == 401
    assert wire.ask(target, Authorization=TWILIO_LOGIN).status == 200
    assert wire.ask(other, Authorization=TWILIO_LOGIN).status == 401


def test_the_header_s_name_may_be_spelt_in_any_case(wire: Client) -> None:
    assert wire.ask("/recordings/hello", Authorization="", authorization=basic("demo", "demo-secret")).status == 200


def test_bearer_and_none_can_be_chosen() -> None:
    with Provider(auth="bearer", secret="s3") as provider, Client(provider) as wire:
        assert wire.ask("/recordings/hello", Authorization="Bearer s3").status == 200
        assert wire.ask("/recordings/hello").status == 401
    with Provider(auth="none") as provider, Client(provider) as wire:
        assert wire.ask("/recordings/hello", Authorization="").status == 200


def test_counts_are_by_recording_whatever_the_extension(provider: Provider, wire: Client) -> None:
    for target in ("call", "call.mp3", "call.wav", "hello"):
        wire.ask(f"/recordings/{target}")
    assert provider.count("call").requests == 3
    assert provider.count("call").bodies == 3
    assert provider.count("never").requests == 0
    assert provider.counts.total().requests == 4


def test_counts_are_right_under_many_threads(provider: Provider) -> None:
    def fetch() -> None:
        with Client(provider) as wire:
            for _ in range(50):
                assert wire.ask("/recordings/same", Range="bytes=0-9").status == 206

    threads = [threading.Thread(target=fetch) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.counts.wait(lambda: provider.counts.at_once == 0, 5)
    count = provider.count("same")
    assert (count.requests, count.bodies, count.whole, count.ranges) == (800, 800, 800, 800)


def test_the_log_has_what_was_sent(provider: Provider, wire: Client) -> None:
    wire.ask("/recordings/hello-gone", Range="bytes=5-", If_Range='"x"')
    (seen,) = provider.log()
    assert (seen.recording, seen.method, seen.target, seen.status) == (
        "hello-gone",
        "GET",
        "/recordings/hello-gone",
        410,
    )
    assert seen.headers["if-range"] == '"x"'
    assert seen.headers["authorization"].startswith("Basic ")


def test_one_can_wait_for_requests(provider: Provider, wire: Client) -> None:
    wire.send("/recordings/hello-stall-body")
    provider.wait_for("hello-stall-body", bodies=1)
    with pytest.raises(TimeoutError, match="hello-stall-body"):
        provider.wait_for("hello-stall-body", whole=1, timeout=0.01)
