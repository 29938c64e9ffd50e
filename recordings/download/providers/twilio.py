"""Twilio: media URLs are built from SIDs, so that nothing else of a recording_url reaches the provider."""

import re
from typing import TYPE_CHECKING

from recordings.download.errors import HostNotAllowed
from recordings.download.providers import addresses

if TYPE_CHECKING:
    from recordings.download.providers import Account

_PATH = re.compile(
    r"/2010-04-01/Accounts/(AC[0-9a-fA-F]{32})/(?:Calls/CA[0-9a-fA-F]{32}/)?Recordings/(RE[0-9a-fA-F]{32})"
    r"(?:\.json|\.wav|\.mp3)?(?:\?.*)?"
)
_ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_RECORDING_SID = re.compile(r"RE[0-9a-fA-F]{32}")


def media_url(account: "Account", recording_url: str, recording_sid: str | None) -> str:
    """The URL of a recording's WAV.

    recording_url is the API's relative `uri` ("/2010-04-01/Accounts/AC…/Recordings/RE….json") or an absolute URL on
    one of the account's hosts; its suffix and query are dropped. For a URL on those hosts that names no recording, it
    is built from recording_sid and the account SID that is the username.

    No RequestedChannels is asked for: then Twilio gives the channels that were asked for when the call was recorded,
    while `RequestedChannels=2` is refused for a mono recording (twilio.com/docs/api/errors/16113, and the change log
    entry "Call recordings are now dual-channel by default"): the one form that always works costs no second request.

    Raises HostNotAllowed for another host, a malformed URL or one that names no recording.
    """
    base = addresses.parse(account.base_url)
    target = addresses.join(base, recording_url)
    addresses.require_listed(target, account.hosts)
    match = _PATH.fullmatch(target.path)
    if match is not None:
        account_sid, sid = match.groups()
    else:
        account_sid, sid = account.username, recording_sid or ""
        if not (_ACCOUNT_SID.fullmatch(account_sid) and _RECORDING_SID.fullmatch(sid)):
            raise HostNotAllowed(
                "The address does not name a Twilio recording, and there are no SIDs to build it from."
            )
    path = f"/2010-04-01/Accounts/{account_sid}/Recordings/{sid}.wav"
    return addresses.Target(target.scheme, target.host, target.port, path).url
