"""Telephony providers: where a recording's media is, and what the account needs to fetch it. One file a provider."""

import base64
import re
from dataclasses import dataclass, field

from recordings.download.errors import Unauthorised
from recordings.download.providers import generic, twilio

_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


@dataclass(frozen=True)
class Account:
    """What a download may know of a provider account. Its repr never shows the secret."""

    kind: str
    """"twilio" or "generic"."""
    base_url: str
    """Credentials go to this URL's scheme, host and port only; relative recording URLs are resolved against it."""
    hosts: tuple[str, ...]
    """The hosts it may be fetched from: "host" (port 443) or "host:port"."""
    auth: str
    """"basic", "bearer" or "none"."""
    username: str
    secret: str = field(repr=False)

    def authorization(self) -> str | None:
        """The value of the Authorization header (RFC 7617 basic, RFC 6750 bearer), or None.

        Raises Unauthorised for a bearer token that cannot stand in a header, without showing it.
        """
        if self.auth == "none":
            return None
        if self.auth == "basic":
            return "Basic " + base64.b64encode(f"{self.username}:{self.secret}".encode()).decode("ascii")
        if not _BEARER_TOKEN.fullmatch(self.secret):
            raise Unauthorised("The account's bearer token is empty or has characters that a token cannot have.")
        return f"Bearer {self.secret}"


_MEDIA_URL = {"twilio": twilio.media_url, "generic": generic.media_url}


def media_url(account: Account, recording_url: str, recording_sid: str | None) -> str:
    """The absolute URL of a recording's audio, on one of the account's hosts.

    Raises HostNotAllowed for a URL that is malformed, on another host, or not of the provider's shape.
    """
    return _MEDIA_URL[account.kind](account, recording_url, recording_sid)
