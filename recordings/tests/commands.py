"""Running our commands in tests: how one ended, and what it said."""

import io
import json
from dataclasses import dataclass
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError


@dataclass(frozen=True)
class Outcome:
    """The exit code, standard output, and standard error with the error's own words."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """What --json printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def run(name: str, *options: str) -> Outcome:
    """Run it in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command(name, *options, stdout=out, stderr=err)
    except CommandError as error:
        # call_command turns argparse's own exit into an error without a code of its own.
        code = error.returncode if "returncode" in vars(error) and error.returncode != 1 else 2 if _usage(error) else 1
        err.write(str(error))
    return Outcome(code, out.getvalue(), err.getvalue())


def _usage(error: CommandError) -> bool:
    return str(error).startswith("Error: ")
