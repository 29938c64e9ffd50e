"""Any provider's URLs, and what every account has in common."""

import pytest

from recordings.download.errors import HostNotAllowed, Unauthorised
from recordings.download.providers import Account, media_url

ACCOUNT = Account(
    "generic", "https://rec.example.com/v1", ("rec.example.com", "cdn.example.com"), "bearer", "", "hush-hush"
)


@pytest.mark.parametrize(
    ("recording_url", "url"),
    [
        ("https://rec.example.com/a.wav?sig=1&x=%20", "https://rec.example.com/a.wav?sig=1&x=%20"),
        ("https://CDN.example.com:443/a.wav#t=1", "https://cdn.example.com/a.wav"),
        ("/a.wav", "https://rec.example.com/a.wav"),
        ("calls/a.wav", "https://rec.example.com/v1/calls/a.wav"),
        (
            "https://rec.example.com/\u05e9\u05d9\u05d7\u05d4 1.wav",
            "https://rec.example.com/%D7%A9%D7%99%D7%97%D7%94%201.wav",
        ),
    ],
)
def test_a_url_on_the_accounts_hosts_is_taken_as_it_is(recording_url: str, url: str) -> None:
    assert media_url(ACCOUNT, recording_url, None) == url


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/a.wav", "//evil.example/a.wav", "http://rec.example.com/a.wav", "file:///a.wav", "https://"],
)
def test_a_url_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(HostNotAllowed):
        media_url(ACCOUNT, url, "RE" + "1" * 32)


def test_the_refusal_of_a_url_does_not_tell_its_query() -> None:
    with pytest.raises(HostNotAllowed) as caught:
        media_url(ACCOUNT, "https://evil.example/a.wav?token=hush", None)
    assert "hush" not in caught.value.detail
    assert "evil.example" in caught.value.detail


def test_an_account_never_shows_its_secret() -> None:
    assert "hush" not in repr(ACCOUNT)
    assert "hush" not in str(ACCOUNT)


@pytest.mark.parametrize(
    ("auth", "username", "secret", "header"),
    [
        ("none", "", "", None),
        ("none", "me", "hush", None),
        ("basic", "me", "hush:hush", "Basic bWU6aHVzaDpodXNo"),
        ("basic", "m\u00e9", "\u05e1\u05d5\u05d3", "Basic bcOpOteh15XXkw=="),
        ("bearer", "", "hush-hush", "Bearer hush-hush"),
    ],
)
def test_credentials_become_a_header(auth: str, username: str, secret: str, header: str | None) -> None:
    assert Account("generic", "https://rec.example.com", (), auth, username, secret).authorization() == header


@pytest.mark.parametrize("secret", ["", "two words", "hush\r\nX-Evil: 1", "\u05e1\u05d5\u05d3"])
def test_a_bearer_token_that_cannot_stand_in_a_header_is_refused_untold(secret: str) -> None:
    account = Account("generic", "https://rec.example.com", (), "bearer", "", secret)
    with pytest.raises(Unauthorised) as caught:
        account.authorization()
    assert not secret or secret not in caught.value.detail
