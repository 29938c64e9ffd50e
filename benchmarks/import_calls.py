"""import_calls against a bare executemany upsert: rows per second, and memory as the file grows.

    .venv/bin/python -m benchmarks.import_calls                    SQLite, in a temporary folder
    DATABASE_URL=postgres://… .venv/bin/python -m benchmarks.import_calls     in a database of its own on that server

Bars: at least 0.25 of the bare upsert's rows/s into the same table in the same run; importing ten times as many lines
peaks at most 1.2 times the memory. Each import is the real command in a process of its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SPEED_BAR, MEMORY_BAR = 0.25, 1.2


def line(number: int) -> dict[str, Any]:
    """Call `number` as a line of the file. Its call_sid is spread like a real one's, not in order."""
    digest = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"
    return {
        "call_sid": f"CA{digest}{number:016x}",
        "direction": "inbound" if number % 3 else "outbound",
        "from_number": f"+97254{number % 10**7:07d}",
        "to_number": "+97235550100",
        "status": "completed",
        "started_at": f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}T{number % 24:02d}:{number % 60:02d}:00+02:00",
        "duration": number % 900,
        "agent": f"Agent {number % 40}",
        "recording_url": f"https://api.twilio.com/2010-04-01/Accounts/AC{0:032x}/Recordings/RE{number:032x}",
        "recording_sid": f"RE{number:032x}",
    }


def write_file(path: Path, first: int, count: int) -> None:
    """A JSONL file of `count` calls."""
    with path.open("w") as file:
        file.writelines(json.dumps(line(number)) + "\n" for number in range(first, first + count))


def bare(slug: str, first: int, count: int) -> None:
    """The yardstick: ready-made tuples, one executemany upsert, one commit. Prints the seconds it took."""
    import django

    django.setup()
    from datetime import datetime

    from django.db import connection, transaction

    from calls.models import Business, search_digits

    business = Business.objects.get(slug=slug)
    stamp = connection.ops.adapt_datetimefield_value(datetime.fromisoformat("2026-11-23T10:00:00.123+00:00"))
    columns = [*line(0), "search_digits", "business_id", "created_at", "updated_at"]
    rows = []
    for number in range(first, first + count):
        call = line(number)
        call["started_at"] = connection.ops.adapt_datetimefield_value(datetime.fromisoformat(call["started_at"]))
        numbers = search_digits(call["from_number"], call["to_number"])
        rows.append((*call.values(), numbers, business.pk, stamp, stamp))
    updates = ", ".join(
        f"{column} = excluded.{column}" for column in columns if column not in {"call_sid", "created_at"}
    )
    statement = (
        f"INSERT INTO call_log ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) "  # noqa: S608
        f"ON CONFLICT (business_id, call_sid) DO UPDATE SET {updates}"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        raw = cursor.connection if connection.vendor == "sqlite" else None
        began = time.perf_counter()
        if raw is not None:  # sqlite3 itself, without Django's rewriting of placeholders
            raw.executemany(statement.replace("%s", "?"), rows)
        else:
            import psycopg

            with psycopg.Cursor(cursor.connection) as server_side:  # prepared and pipelined: psycopg at its best
                server_side.executemany(statement, rows)
    print(time.perf_counter() - began)


def manage(*arguments: str) -> str:
    """Run a management command."""
    return run([sys.executable, str(ROOT / "manage.py"), *arguments])[0]


def run(command: list[str]) -> tuple[str, float, float]:
    """Run to the end: (output, seconds, peak memory in MB)."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert process.stdout
    output = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return output, time.perf_counter() - began, usage.ru_maxrss / 1024


def importing(file: Path, count: int) -> tuple[float, float]:
    """Import with the real command, its start included: (rows a second, peak memory in MB)."""
    output, seconds, memory = run(
        [sys.executable, str(ROOT / "manage.py"), "import_calls", str(file), "--business", "bench", "--json"]
    )
    report = json.loads(output)
    done = report["created"] + report["changed"] + report["unchanged"]
    if done != count:
        raise SystemExit(f"{done} of {count} were imported: {report}")
    return count / seconds, memory


def bare_rows(first: int, count: int) -> float:
    """Rows a second of the bare upsert."""
    program = f"import benchmarks.import_calls as b; b.bare('bench', {first}, {count})"
    return count / float(run([sys.executable, "-c", program])[0])


@contextmanager
def database(folder: str) -> Iterator[str]:
    """An empty database: SQLite in `folder`, or a new one on the PostgreSQL server of DATABASE_URL."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        os.environ.pop("DATABASE_URL", None)
        yield "SQLite"
        return
    import psycopg

    name = f"bench_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        os.environ["DATABASE_URL"] = url.rpartition("/")[0] + "/" + name
        try:
            yield "PostgreSQL"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def prepare() -> None:
    """Tables, and one business."""
    manage("migrate", "-v0")
    manage(
        "create_business", "bench", "--name", "Bench", "--timezone", "Asia/Jerusalem", "--provider", "twilio",
        "--base-url", "https://api.twilio.com", "--hosts", "api.twilio.com", "--auth", "none",
    )  # fmt: skip


def measure(small: int, large: int, folder: Path, say: Callable[[str], None]) -> bool:
    """Measure, say what came out; True when both bars hold."""
    write_file(folder / "small", 0, small)
    write_file(folder / "large", small, large)
    before = bare_rows(10**9, small)
    small_speed, small_memory = importing(folder / "small", small)
    after = bare_rows(10**9 + small, small)
    again_speed, again_memory = importing(folder / "small", small)
    large_speed, large_memory = importing(folder / "large", large)
    yardstick = (before + after) / 2
    say(f"bare executemany upsert     {before:9.0f} and {after:.0f} rows/s")
    say(f"import {small:9d} new      {small_speed:9.0f} rows/s, peak {small_memory:.1f} MB")
    say(f"import {small:9d} again    {again_speed:9.0f} rows/s, peak {again_memory:.1f} MB")
    say(f"import {large:9d} new      {large_speed:9.0f} rows/s, peak {large_memory:.1f} MB")
    speed, memory = small_speed / yardstick, large_memory / small_memory
    say(f"speed ratio  {speed:.2f} (bar: at least {SPEED_BAR})")
    say(f"memory ratio {memory:.2f} (bar: at most {MEMORY_BAR})")
    return speed >= SPEED_BAR and memory <= MEMORY_BAR


def main() -> int:
    """Exit 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--lines", type=int, default=100_000, help="lines of the small file; the large one has ten times"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            PROSAASIL_VAR=f"{folder}/var", DJANGO_SETTINGS_MODULE="prosaasil.settings", LOG_LEVEL="WARNING"
        )
        with database(folder) as kind:
            print(kind)
            prepare()
            return 0 if measure(options.lines, options.lines * 10, Path(folder), print) else 1


if __name__ == "__main__":
    sys.exit(main())
