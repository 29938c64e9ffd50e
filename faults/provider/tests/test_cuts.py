"""Answers that are damaged on the way, in short: nothing false is ready. And the proof can see when something is."""

import random
from collections import Counter
from typing import Any

import pytest

from faults.provider import cuts
from faults.provider.damage import DAMAGES, End, case
from recordings.download.providers import chunks, network
from recordings.tests.living import LONG


def test_no_damage_to_an_answer_makes_a_false_ready_and_a_second_try_heals_it() -> None:
    report = cuts.prove(5000 if LONG else 150, seed=20)
    timely = [finding for finding in report.findings if "over after" not in finding]  # a busy machine is no defect
    assert timely == []


def test_every_damage_is_done_and_each_can_be_told_from_a_right_answer() -> None:
    rng = random.Random(3)
    made = [case(rng, number) for number in range(800)]
    assert set(Counter(one.kind for one in made)) == {damage.__name__ for damage in DAMAGES}
    for one in made:
        unharmed = one.script.end is End.KEEP and not one.script.reasons
        assert unharmed == (one.kind in {"sound", "halting"})
        assert one.script.keeps or one.script.reasons


def test_the_same_seed_makes_the_same_cases() -> None:
    first, second = random.Random(5), random.Random(5)
    assert [case(first, number) for number in range(50)] == [case(second, number) for number in range(50)]


def test_the_proof_sees_a_head_that_is_believed_though_it_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks.Head, "require_end", lambda *_: None)
    found = _findings({"cut"}, monkeypatch)
    assert any("ready with 3000 bytes" in finding for finding in found), "half a Location led to another recording"


def test_the_proof_sees_chunks_that_are_read_as_the_library_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def read1(self: Any, n: int = -1) -> bytes:
        return b"" if self.fp is None else super(network.Response, self).read1(n)

    monkeypatch.setattr(network.Response, "read1", read1)
    found = _findings({"cut", "stray"}, monkeypatch)
    assert any("may not be kept" in finding for finding in found)


def _findings(kinds: set[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is found in cases of these kinds only."""
    monkeypatch.setattr("faults.provider.damage.DAMAGES", {d: n for d, n in DAMAGES.items() if d.__name__ in kinds})
    return cuts.prove(60, seed=1).findings
