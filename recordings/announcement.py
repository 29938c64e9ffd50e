"""The verb of a worker that has the first bytes: announce what is known of the whole, under its lease.

In SQL, for people wait for it: of the two milliseconds that the same took by the ORM, its making of SQL took most.
"""

from collections.abc import Sequence

from django.db import connection, transaction

from recordings import news
from recordings.results import Begun

_ROW = """
    UPDATE call_log SET recording_bytes_total = %s, recording_content_type = %s, recording_version = %s
    WHERE id = %s AND recording_token = %s AND recording_download_status = 'downloading'
"""
_ATTEMPT = """
    UPDATE recordings_attempt SET bytes_total = %s, version = %s, validator = %s
    WHERE recording_id = %s AND token = %s AND outcome = 'running'
"""


def announce(begun: Sequence[Begun]) -> int:
    """Write what is known of these, each under its own lease, so that they can be played and progress be shown.

    How many were still held. One transaction, in the order of ids: see LeaseQuerySet.locked.
    """
    told = 0
    with transaction.atomic(), connection.cursor() as cursor:
        for one in sorted(begun, key=lambda one: one.held):
            cursor.execute(_ROW, [one.bytes_total, one.content_type[:32], one.version, *one.held])
            if cursor.rowcount:
                told += 1
                cursor.execute(_ATTEMPT, [one.bytes_total, one.version, one.validator[:200], *one.held])
        if told:
            news.tell()
    return told
