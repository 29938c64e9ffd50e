"""What downloads tell of their provider account: paused, refused, in trouble, well again. One line when it is news."""

import logging
from collections import Counter

from recordings.models import ProviderAccount
from recordings.reasons import Reason
from recordings.results import Failed

log = logging.getLogger(__name__)

TROUBLE = frozenset({Reason.RATE_LIMITED, Reason.STALLED, Reason.UNREACHABLE, Reason.PROVIDER_ERROR})
"""Failures that may be the provider's as a whole, and not one recording's."""

IN_A_ROW = 4
"""So many of them with no success in between are the provider's; half as many where it was in trouble just now."""


class Marks:
    """One drain's view of the accounts it downloads for."""

    def __init__(self) -> None:
        self._troubles: Counter[int] = Counter()

    def succeeded(self, account: ProviderAccount) -> None:
        """The provider gave a recording to this account, as it was read for the attempt."""
        del self._troubles[account.pk]
        if account.broken_since:
            ProviderAccount.objects.accepted(account)
        if account.slowed_at and ProviderAccount.objects.recovered(account):
            facts = {"action": "account", "business": account.business_id, "at_once": account.cap}
            log.info("Provider answers well again; this business is asked as before", extra=facts)

    def failed(self, account: ProviderAccount, result: Failed) -> None:
        """An attempt of this account failed."""
        if result.reason == Reason.RATE_LIMITED and result.retry_after:
            if ProviderAccount.objects.pause(account, result.retry_after):
                words = "Provider asks to slow down; this business's queue waits"
                _tell(account, words, seconds=round(result.retry_after))
        elif result.reason == Reason.UNAUTHORISED and result.http_status and ProviderAccount.objects.refused(account):
            do = "correct the secret, then retry_failed_recordings --reason unauthorised"
            _tell(account, "Provider refuses this business's credentials", http_status=result.http_status, do=do)
        if result.reason in TROUBLE:
            self._in_trouble(account, result)

    def _in_trouble(self, account: ProviderAccount, result: Failed) -> None:
        """Slow down: at once when asked to, or when it goes on after a rest; else when it is more than bad luck."""
        self._troubles[account.pk] += 1
        well = account.is_well()
        needed = IN_A_ROW if well else IN_A_ROW // 2
        goes_on = account.rests > 0 and not well
        if result.reason == Reason.RATE_LIMITED or goes_on or self._troubles[account.pk] >= needed:
            del self._troubles[account.pk]
            said = result.retry_after is not None and result.reason == Reason.RATE_LIMITED
            if ProviderAccount.objects.slow_down(account) and well and not said:
                facts = {"reason": result.reason.value, "detail": result.detail}
                _tell(account, "Provider is in trouble; this business is asked for less at once", **facts)


def _tell(account: ProviderAccount, words: str, **facts: object) -> None:
    log.warning(words, extra={"action": "account", "business": account.business_id, **facts})
