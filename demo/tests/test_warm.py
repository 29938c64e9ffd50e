"""Commands that are forked from a process that has the libraries already: what they do and say is their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo import warm


def own(var: Path, **given: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PROSAASIL_VAR": str(var), **given}


def test_before_a_command_nothing_of_ours_and_no_setting_has_been_read() -> None:
    code = (
        "import sys; from importlib import import_module; from demo import warm; from django.conf import settings\n"
        "for library in warm.LIBRARIES: import_module(library)\n"
        "ours = {'calls', 'recordings', 'prosaasil'} & {name.partition('.')[0] for name in sys.modules}\n"
        "print(settings.configured, ours)"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=warm.MANAGE.parent)
    assert said == "False set()\n"


def test_each_has_the_environment_that_it_is_given_and_no_other(tmp_path: Path) -> None:
    refused = warm.manage(["check"], own(tmp_path, PORT="none"), check=False)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("prosaasil can't start: ")
    passed = warm.manage(["check"], own(tmp_path))
    assert (passed.returncode, passed.stderr) == (0, "")
    assert passed.stdout.startswith("System check identified no issues")


def test_it_reads_what_it_is_given_to_read_and_a_failure_is_raised(tmp_path: Path) -> None:
    said = warm.manage(["shell", "-v0"], own(tmp_path), stdin="print('héllo', len('שלום'))").stdout
    assert said == "héllo 4\n"
    with pytest.raises(subprocess.CalledProcessError) as raised:
        warm.manage(["shell"], own(tmp_path), stdin="raise SystemExit(7)")
    assert raised.value.returncode == 7
