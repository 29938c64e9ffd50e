"""`python -m mutation [MODULE …]`, or ./mutate: the score of each module that pyproject.toml names; docs/proof.md.

It ends with 1 when a module's score is under 90 %. What no test noticed is in mutants/survivors.txt.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

from mutation import outside
from mutation.forked import PREPARED

BAR = 90.0
FOLDER = Path("mutants")
TESTED_BY = {
    "graph": ["graph", "lifecycle"],
    "leases": ["leases", "lifecycle"],
    "moves": ["moves", "leases", "lifecycle"],
    "claims": ["claims", "leases", "governor"],
    "lifecycle": ["lifecycle", "asking"],
}
"""The test files of a module, where they are not just its namesake."""

NOTICED = {"killed", "timeout"}


def main() -> int:
    """Run mutmut, then the mutants that it leaves out; print the scores."""
    parser = argparse.ArgumentParser(prog="./mutate", description="Mutation testing; see docs/proof.md.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as recordings/backoff.py; all when none")
    modules = parser.parse_args().modules or config().only_mutate
    if unknown := set(modules) - set(config().only_mutate):
        parser.error(f"{' '.join(sorted(unknown))}: choose from {' '.join(config().only_mutate)}.")
    began = time.monotonic()
    with _database():
        shutil.rmtree(FOLDER, ignore_errors=True)  # mutmut would keep its verdicts when only tests have changed
        FOLDER.mkdir()
        print(f"mutmut: progress is in {FOLDER}/mutmut.log", flush=True)
        _run_mutmut(modules)
        print("Tables, constants and decorated functions", flush=True)
        left = {path: _outside(path) for path in modules}
    enough = _report(left)
    print(f"{time.monotonic() - began:.0f} s")
    return 0 if enough else 1


@contextmanager
def _database() -> Iterator[None]:
    """A migrated SQLite database, for each mutant's tests to copy."""
    with tempfile.TemporaryDirectory(prefix="prosaasil-mutation-") as folder:
        environment = os.environ | {"PROSAASIL_VAR": f"{folder}/var", "DATABASE_URL": ""}
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"]
        subprocess.run(command, env=environment, check=True)
        prepared = Path(folder, "var", "prosaasil.sqlite3")
        with closing(sqlite3.connect(prepared)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        os.environ[PREPARED] = str(shutil.copy(prepared, folder))
        yield


def _run_mutmut(modules: list[str]) -> None:
    names = [f"{path.removesuffix('.py').replace('/', '.')}.*" for path in modules]
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(outside.PROCESSES), *names]
    with (FOLDER / "mutmut.log").open("w") as log:
        ended = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        said = (FOLDER / "mutmut.log").read_text().replace("\r", "\n").splitlines()
        sys.exit("\n".join([*said[-30:], "mutmut could not be run."]))


def _outside(path: str) -> tuple[int, list[str]]:
    """How many mutants mutmut leaves out of this module, and which of them no test notices."""
    name = Path(path).stem
    tests = [f"recordings/tests/test_{test}.py" for test in TESTED_BY.get(name, [name])]
    found = outside.mutants(path)
    return len(found), [str(mutant) for mutant in outside.survivors(found, tests)]


def _report(outsiders: dict[str, tuple[int, list[str]]]) -> bool:
    """Print a line for each module and write the survivors down; whether every score reaches the bar."""
    enough, survivors = True, []
    total = total_left = 0
    for path, (count, left) in outsiders.items():
        data = SourceFileMutationData(path=path)
        data.load()
        verdicts = {name: status_by_exit_code[code] for name, code in data.exit_code_by_key.items()}
        missed = [name for name, verdict in verdicts.items() if verdict not in NOTICED]
        survivors += [f"{verdicts[name]}: {get_diff_for_mutant(name, path=path)}" for name in missed] + left
        count, lost = count + len(verdicts), len(missed) + len(left)
        slow = sum(verdict == "timeout" for verdict in verdicts.values())
        print(f"{path:45} {count - lost:5} of {count:5} {_score(count, lost):6.1f} %  ({slow} by time-out)")
        enough = enough and _score(count, lost) >= BAR
        total, total_left = total + count, total_left + lost
    print(f"{'all':45} {total - total_left:5} of {total:5} {_score(total, total_left):6.1f} %")
    (FOLDER / "survivors.txt").write_text("\n\n".join(survivors) + "\n")
    return enough


def _score(count: int, lost: int) -> float:
    return 100 * (count - lost) / count if count else 100.0


if __name__ == "__main__":
    sys.exit(main())
