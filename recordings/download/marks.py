"""What a failed attempt says of its provider account: paused, or refused. One line for operators when that is new."""

import logging

from recordings.models import ProviderAccount
from recordings.reasons import Reason
from recordings.results import Failed

log = logging.getLogger(__name__)


def note(account: ProviderAccount, result: Failed) -> None:
    """Mark the account, as it was read for this attempt."""
    if result.reason == Reason.RATE_LIMITED and result.retry_after:
        if ProviderAccount.objects.pause(account, result.retry_after):
            _tell(account, "Provider asks to slow down; this business's queue waits", seconds=round(result.retry_after))
    elif result.reason == Reason.UNAUTHORISED and result.http_status and ProviderAccount.objects.refused(account):
        do = "correct the secret, then retry_failed_recordings --reason unauthorised"
        _tell(account, "Provider refuses this business's credentials", http_status=result.http_status, do=do)


def _tell(account: ProviderAccount, words: str, **facts: object) -> None:
    log.warning(words, extra={"action": "account", "business": account.business_id, **facts})
