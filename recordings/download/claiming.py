"""From claimed rows to jobs: what an attempt must know is read here, in the main thread and for a batch at once."""

from datetime import timedelta

from django.conf import settings

from calls.models import PRIORITY_CLICK, CallLog
from recordings.download.adopting import Earlier, earlier_attempts
from recordings.download.attempt import Job
from recordings.download.bandwidth import bandwidth
from recordings.download.providers import Account
from recordings.download.providers.http import Transfer
from recordings.models import ProviderAccount, Recording
from recordings.storage import default_storage

LONGEST_CALL = timedelta(days=1)
"""Of a call whose length nobody told us, only this much later is it sure that it has ended."""


def claim(limit: int, *, worker: str, clicks_only: bool = False, more: bool = False) -> list[Job]:
    """Claim up to `limit` waiting recordings; each comes with its account and with what earlier attempts knew.

    `more`: something is believed to wait (see `start`).
    """
    rows = Recording.objects.start(limit, worker=worker, clicks_only=clicks_only, more=more)
    if not rows:
        return []
    accounts = {
        account.business_id: account
        for account in ProviderAccount.objects.filter(business_id__in={row.business_id for row in rows}).with_refusal()
    }
    # Without a folder there is no file to compare, and no need to ask.
    earlier = earlier_attempts([row.pk for row in rows if default_storage().has_folder(row.pk)])
    return [_job(row, accounts.get(row.business_id), earlier.get(row.pk, {})) for row in rows]


def _job(row: CallLog, account: ProviderAccount | None, earlier: dict[str, Earlier]) -> Job:
    click = row.recording_priority >= PRIORITY_CLICK
    return Job(
        held=(row.pk, row.recording_token or ""),
        call_sid=row.call_sid,
        business=row.business_id,
        url=row.recording_url or "",
        recording_sid=row.recording_sid,
        call_ended_at=row.started_at + (LONGEST_CALL if row.duration is None else timedelta(seconds=row.duration)),
        account=_plain(account) if account else None,
        transfer=Transfer(settings.RECORDINGS_DEADLINE, settings.RECORDINGS_MAX_BYTES),
        click=click,
        refused=bool(account and account.refused_lately and not click),
        account_row=account,
        earlier=earlier,
        last_version=row.recording_version,
        bandwidth=bandwidth(account.pk, account.bytes_per_second, click=click) if account else None,
    )


def _plain(account: ProviderAccount) -> Account:
    return Account(
        kind=account.kind,
        base_url=account.base_url,
        hosts=account.host_list(),
        auth=account.auth,
        username=account.username,
        secret=account.current_secret(),
    )
