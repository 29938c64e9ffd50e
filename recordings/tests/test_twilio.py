"""Twilio's media URLs, built from SIDs."""

import pytest

from recordings.download.errors import HostNotAllowed
from recordings.download.providers import Account, media_url

AC = "AC" + "0a1B" * 8
OTHER_AC = "AC" + "ffff" * 8
RE = "RE" + "1234abcd" * 4
OTHER_RE = "RE" + "9" * 32
CA = "CA" + "c" * 32
MEDIA = f"https://api.twilio.com/2010-04-01/Accounts/{AC}/Recordings/{RE}.wav"
ACCOUNT = Account("twilio", "https://api.twilio.com", ("api.twilio.com",), "basic", AC, "hush")


@pytest.mark.parametrize(
    "suffix", ["", ".json", ".wav", ".mp3", ".json?Page=0", ".mp3?RequestedChannels=2", "?x=.json"]
)
@pytest.mark.parametrize("start", ["", "https://api.twilio.com", "https://API.TWILIO.COM:443"])
def test_a_recordings_address_becomes_that_of_its_wav(start: str, suffix: str) -> None:
    url = f"{start}/2010-04-01/Accounts/{AC}/Recordings/{RE}{suffix}"
    assert media_url(ACCOUNT, url, RE) == MEDIA


def test_the_address_below_a_call_becomes_that_of_the_recording() -> None:
    url = f"/2010-04-01/Accounts/{AC}/Calls/{CA}/Recordings/{RE}.json"
    assert media_url(ACCOUNT, url, None) == MEDIA


def test_the_address_says_whose_and_which_recording_before_the_columns_do() -> None:
    account = Account("twilio", "https://api.twilio.com", ("api.twilio.com",), "basic", OTHER_AC, "hush")
    assert media_url(account, f"/2010-04-01/Accounts/{AC}/Recordings/{RE}.json", OTHER_RE) == MEDIA


def test_an_address_that_names_no_recording_is_built_from_the_sids() -> None:
    assert media_url(ACCOUNT, "https://api.twilio.com/play?id=7", RE) == MEDIA


@pytest.mark.parametrize("sid", [None, "", "RE123", "RE" + "g" * 32, f"{RE}/../x", f"{RE}\n", CA])
def test_an_address_that_names_no_recording_is_refused_without_a_sound_sid(sid: str | None) -> None:
    with pytest.raises(HostNotAllowed, match="does not name a Twilio recording"):
        media_url(ACCOUNT, "https://api.twilio.com/play?id=7", sid)


def test_the_sids_are_not_enough_when_the_username_is_an_api_key() -> None:
    account = Account("twilio", "https://api.twilio.com", ("api.twilio.com",), "basic", "SK" + "1" * 32, "hush")
    with pytest.raises(HostNotAllowed):
        media_url(account, "https://api.twilio.com/play?id=7", RE)
    assert media_url(account, f"/2010-04-01/Accounts/{AC}/Recordings/{RE}", None) == MEDIA


@pytest.mark.parametrize(
    "url",
    [
        f"https://evil.example/2010-04-01/Accounts/{AC}/Recordings/{RE}.json",
        f"//evil.example/2010-04-01/Accounts/{AC}/Recordings/{RE}.json",
        f"http://api.twilio.com/2010-04-01/Accounts/{AC}/Recordings/{RE}.json",
        f"https://api.twilio.com:8443/2010-04-01/Accounts/{AC}/Recordings/{RE}.json",
        f"https://api.twilio.com@evil.example/2010-04-01/Accounts/{AC}/Recordings/{RE}.json",
        f"https://api.twilio.com.evil.example/2010-04-01/Accounts/{AC}/Recordings/{RE}.json",
        "ftp://api.twilio.com/x",
        "https://[",
        "\thttps://api.twilio.com/x",
    ],
)
def test_another_host_is_refused_even_with_sids_to_build_from(url: str) -> None:
    with pytest.raises(HostNotAllowed):
        media_url(ACCOUNT, url, RE)


def test_another_host_of_the_account_keeps_its_recordings() -> None:
    account = Account("twilio", "https://api.twilio.com", ("api.twilio.com", "api.ie1.twilio.com"), "basic", AC, "hush")
    path = f"/2010-04-01/Accounts/{AC}/Recordings/{RE}"
    assert media_url(account, f"https://api.ie1.twilio.com{path}.json", RE) == f"https://api.ie1.twilio.com{path}.wav"


def test_a_provider_on_loopback_keeps_its_scheme_and_port() -> None:
    account = Account("twilio", "http://127.0.0.1:8101", ("127.0.0.1:8101",), "basic", AC, "hush")
    path = f"/2010-04-01/Accounts/{AC}/Recordings/{RE}"
    assert media_url(account, f"{path}.json", RE) == f"http://127.0.0.1:8101{path}.wav"
