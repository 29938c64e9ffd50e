"""A point kills whoever passes it for the nth time, once, and only in the processes of a service under proof."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from faults import points
from faults.trial import PLANTED, ROOT

CODE = "from recordings import part; print(hasattr(part.Part.write, '__wrapped__'), part.Part.commit.__name__)"


def run(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    names = {"PYTHONPATH": f"{PLANTED}:{ROOT}", points.FOLDER: str(folder)}
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | names | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", points.POINTS)
def test_the_function_that_a_point_names_exists(name: str) -> None:
    point = points.POINTS[name]
    owner: object = __import__(point.module, fromlist=["_"])
    for part in point.name.split("."):
        owner = getattr(owner, part)
    assert callable(owner)


def test_nothing_is_wrapped_in_a_process_that_is_not_of_a_service(tmp_path: Path) -> None:
    assert run(tmp_path, CODE).stdout.split() == ["False", "commit"]
    assert run(tmp_path, CODE, **{points.OF_A_SERVICE: "1"}).stdout.split() == ["True", "commit"]


def test_the_process_that_passes_for_the_nth_time_dies_there_and_nobody_after_it(tmp_path: Path) -> None:
    code = f"""if True:
        from recordings import part
        for at in range(4):
            print(at, flush=True)
            part._create(f"{tmp_path}/1/{{at}}")
    """
    environment = {points.OF_A_SERVICE: "1", "PROSAASIL_ROLE": "cluster"}
    points.arm(tmp_path, "born", passes=3)
    first = run(tmp_path, code, **environment)
    assert (first.returncode, first.stdout.split()) == (-signal.SIGKILL, ["0", "1", "2"])
    assert points.died_at(tmp_path, "born")
    second = run(tmp_path, code.replace("range(4)", "range(4, 8)"), **environment)
    assert (second.returncode, second.stdout.split()) == (0, ["4", "5", "6", "7"])


def test_a_point_of_the_cluster_kills_no_web_process(tmp_path: Path) -> None:
    points.arm(tmp_path, "born")
    code = f"from recordings import part; part._create('{tmp_path}/1/x'); print('lives')"
    there = run(tmp_path, code, **{points.OF_A_SERVICE: "1", "PROSAASIL_ROLE": "web"})
    assert there.stdout.split() == ["lives"]
    points.disarm_all(tmp_path)
    there = run(tmp_path, code.replace("/x", "/y"), **{points.OF_A_SERVICE: "1", "PROSAASIL_ROLE": "cluster"})
    assert there.stdout.split() == ["lives"]
