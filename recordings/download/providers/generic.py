"""Any provider that gives out plain URLs of its recordings."""

from typing import TYPE_CHECKING

from recordings.download.providers import addresses

if TYPE_CHECKING:
    from recordings.download.providers import Account


def media_url(account: "Account", recording_url: str, recording_sid: str | None) -> str:
    """The recording's own URL; a relative one is resolved against base_url, as a folder. The SID plays no part.

    Raises HostNotAllowed for a malformed URL, or one that is not on the account's hosts.
    """
    base = addresses.parse(account.base_url.rstrip("/") + "/")
    target = addresses.join(base, recording_url)
    addresses.require_listed(target, account.hosts)
    return target.url
