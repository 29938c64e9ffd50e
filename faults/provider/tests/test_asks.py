"""Very many who ask for the same recordings at once, in short: see asks.py."""

import pytest

from faults.provider import asks
from recordings.tests.living import LONG
from recordings.tests.rows import QUEUED, recording


@pytest.mark.django_db(transaction=True)
def test_processes_that_call_the_queue_verb_queue_each_recording_once() -> None:
    calls, processes, recordings = (500_000, 50, 1000) if LONG else (1_600, 8, 40)
    assert asks.prove_verb(calls, processes, recordings, seed=1).findings == []


@pytest.mark.django_db(transaction=True)
def test_the_proof_sees_that_not_each_recording_was_queued_by_one_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faults.provider.asks.rows.recording", lambda: recording(QUEUED))
    found = asks.prove_verb(16, 2, 4, seed=1).findings
    assert [finding.split()[0] for finding in found] == ["None", "transitions:", "0"]
