"""The mutants that mutmut leaves out: which there are, and that their tests see them."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from mutation import outside

pytestmark = pytest.mark.once

SOURCE = '''"""A module with a table."""

import functools

WAITS: tuple[int, ...] = (5, 10)
"""Seconds."""


def wait(count: int) -> int:
    return WAITS[count - 1]


@functools.cache
def longest() -> int:
    return WAITS[0] + 1
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("waits.py")
    path.write_text(SOURCE)
    return path


def test_numbers_and_elements_of_tables_and_what_decorated_functions_do_are_changed_one_at_a_time(module: Path) -> None:
    found = {(mutant.line, mutant.before, mutant.after) for mutant in outside.mutants(str(module))}
    assert found == {
        (5, "5", "6"), (5, "10", "11"), (5, "5, 10", "(10,)"), (5, "5, 10", "(5, )"),
        (15, "WAITS[0] + 1", "WAITS[0] - 1"), (15, "0", "1"), (15, "1", "2"),
    }  # fmt: skip


def test_a_line_with_the_mark_is_left_as_it_is(module: Path) -> None:
    module.write_text("WAIT = 5  # pragma: no mutate - why\nTRIES = 4\n")
    assert [mutant.line for mutant in outside.mutants(str(module))] == [2]


def test_a_mutant_is_seen_by_the_functions_of_its_module_and_by_those_who_imported_its_values(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, importer, stranger = ModuleType("waits"), ModuleType("recordings.importer"), ModuleType("other")
    exec(SOURCE, vars(waits))
    for other in (importer, stranger):
        other.WAITS = waits.WAITS  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "modules", {"waits": waits, "recordings.importer": importer, "other": stranger})
    wait, old = waits.wait, waits.WAITS
    outside._put_in(outside.Mutant("waits.py", 5, "5", "6", SOURCE.replace("(5, 10)", "(6, 10)")))
    assert wait(1) == 6
    assert importer.WAITS == (6, 10)
    assert stranger.WAITS is old
