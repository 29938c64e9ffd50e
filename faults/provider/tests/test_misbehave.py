"""Each misbehaviour that ends by itself, several times at once; and the proof can see a wrong outcome."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.provider import Provider
from faults.provider import misbehave
from recordings.reasons import Reason
from recordings.tests.living import LONG
from recordings.tests.outcomes import OUTCOMES

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = {"slow", "slow-start", *(name for name, outcome in OUTCOMES.items() if outcome == Reason.STALLED)}


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    with misbehave.bench(tmp_path) as provider:
        yield provider


def test_every_misbehaviour_has_its_right_outcome_each_time(provider: Provider) -> None:
    names = list(OUTCOMES) if LONG else [name for name in OUTCOMES if name not in SLOW]
    assert misbehave.prove(provider, names, 20 if LONG else 2, seed=1, timed=False).findings == []


def test_the_proof_sees_a_wrong_outcome_and_a_wrong_byte(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OUTCOMES, "html", "ready")
    monkeypatch.setattr(provider, "audio", lambda url: Provider.audio(provider, url.replace("hello", "call")))
    found = misbehave.prove(provider, ["html", "chunked"], 1, seed=1, timed=False).findings
    assert len(found) == 2
    assert any("not_audio, and should be ready" in finding for finding in found)
    assert any("that are not the provider's" in finding for finding in found)
