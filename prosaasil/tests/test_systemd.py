"""The systemd units: what systemd itself says of them, and what a stop depends on."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

from prosaasil.supervisor.supervisor import GRACE

UNITS = sorted((Path(settings.BASE_DIR) / "deploy" / "systemd").glob("*.service"))


def section(unit: Path) -> configparser.SectionProxy:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read(unit)
    return parsed["Service"]


def test_the_units_are_those_of_all_of_it_of_the_web_and_of_the_cluster() -> None:
    assert [unit.name for unit in UNITS] == ["prosaasil-cluster.service", "prosaasil-web.service", "prosaasil.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_stop_signals_serve_alone_and_gives_it_longer_than_it_takes(unit: Path) -> None:
    service = section(unit)
    assert (service["KillMode"], service["KillSignal"]) == ("mixed", "SIGTERM")
    assert float(service["TimeoutStopSec"]) >= 10 + GRACE
    assert service["Restart"] == "always"
    assert "manage.py serve" in service["ExecStart"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_them(unit: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here (on Debian: apt-get install systemd)")
    here = tmp_path / unit.name
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    here.write_text(unit.read_text().replace("/opt/prosaasil/.venv/bin/python", str(python)))
    verified = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr.strip()) == (0, "")
