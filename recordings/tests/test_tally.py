"""recordings/tally.py: what many processes count, and what is left of it when they are killed or the disk is full."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.conf import settings

from recordings import tally
from recordings.tally import Tally


def counting_in(folder: Path, places: int = 3) -> Tally:
    """A tally that counts as a process of its own would: its lock is of its own descriptor."""
    one = Tally()
    for number in range(places):
        one.place("number", number)
    one.begin(folder)
    return one


def test_what_several_count_is_added_up(tmp_path: Path) -> None:
    first, second = counting_in(tmp_path), counting_in(tmp_path)
    first.add({0: 1, 2: 5})
    second.add({0: 2})
    first.add({0: 4})
    assert first.total(tmp_path) == second.total(tmp_path) == [7, 0, 5]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_file_of_a_dead_one_is_taken_over_with_what_stands_in_it(tmp_path: Path) -> None:
    living = counting_in(tmp_path)
    living.add({0: 1})
    for _ in range(20):
        dead = counting_in(tmp_path)
        dead.add({1: 1})
        dead.close()
    assert living.total(tmp_path) == [1, 20, 0]
    assert len(list(tmp_path.iterdir())) == 2


def test_threads_lose_no_count(tmp_path: Path) -> None:
    one = counting_in(tmp_path)

    def count() -> None:
        for _ in range(500):
            one.add({0: 1})

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.total(tmp_path) == [4000, 0, 0]


KILLED = """
import json, os, signal, sys
from pathlib import Path
from recordings import counting

folder = Path(sys.argv[1])
counting._tally.begin(folder)
counting.RESTARTS.add("web", "died")

def child():
    told, tell = os.pipe()
    wait, end = os.pipe()
    if not (pid := os.fork()):
        counting.RESTARTS.add("web", "died", amount=10)
        os.write(tell, b"!")
        os.read(wait, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    os.read(told, 1)
    return pid, (told, tell, wait, end)

def kill(pid, pipe):
    os.write(pipe[-1], b"!")
    os.waitpid(pid, 0)
    for each in pipe:
        os.close(each)

for _ in range(50):
    kill(*child())
one_by_one = len(os.listdir(folder))
for _ in range(3):
    together = [child() for _ in range(10)]
    for each in together:
        kill(*each)
counting.RESTARTS.add("web", "died")
counted = counting._tally.total(folder)[counting.RESTARTS.cells["web", "died"]]
print(json.dumps([counted, one_by_one, len(os.listdir(folder))]))
"""


def test_kill_9_of_forks_loses_no_count_and_leaves_no_more_files_than_lived_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=settings.BASE_DIR)
    assert json.loads(ran.stdout) == [2 + 80 * 10, 2, 11]


FULL = """
import json, os, sys
from contextlib import suppress
from pathlib import Path
from recordings import tally
from recordings.tests.test_tally import counting_in

disk = Path(sys.argv[1])
tally.LOOK_EVERY = 0
folder = disk / "metrics"
before = counting_in(folder)
before.add({0: 1})
with suppress(OSError), open(disk / "filler", "wb", buffering=0) as filler:
    while True:
        filler.write(bytes(4096))
during = counting_in(folder)
for _ in range(100):
    before.add({0: 1})  # its block is its own
    during.add({1: 1})  # has none
full = [os.statvfs(disk).f_bavail, *before.total(folder)]
os.unlink(disk / "filler")
during.add({1: 1})
print(json.dumps([full, before.total(folder)]))
"""


def test_a_full_disk_kills_nobody_and_what_was_counted_meanwhile_is_written_later(tmp_path: Path) -> None:
    mounted = 'mount -t tmpfs -o size=128k none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mounted, "sh", str(tmp_path), sys.executable, FULL]
    if subprocess.run([*command[:3], "true"], capture_output=True, check=False).returncode:
        pytest.skip("This machine lets nobody mount a small disk.")
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=settings.BASE_DIR)
    assert ran.returncode == 0, ran.stderr
    full, later = json.loads(ran.stdout)
    assert full == [0, 101, 0, 0]
    assert later == [101, 101, 0]


def test_a_folder_that_went_away_comes_back_with_all_that_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "LOOK_EVERY", 0)
    folder = tmp_path / "run" / "metrics"
    one = counting_in(folder)
    one.add({0: 1})
    shutil.rmtree(folder.parent)
    one.add({0: 1})
    assert one.total(folder) == [2, 0, 0]


def test_where_no_folder_can_be_made_counting_goes_on_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "LOOK_EVERY", 0)
    in_the_way = tmp_path / "metrics"
    in_the_way.write_text("not a folder")
    one = counting_in(in_the_way)
    one.add({0: 1})
    assert one.total(in_the_way) == [0, 0, 0]
    in_the_way.unlink()
    one.add({0: 1})
    assert one.total(in_the_way) == [2, 0, 0]


def test_another_versions_files_are_not_read_and_go_when_nobody_holds_them(tmp_path: Path) -> None:
    older = counting_in(tmp_path, places=2)
    older.add({0: 7})
    newer = counting_in(tmp_path)
    newer.add({0: 1})
    assert newer.total(tmp_path) == [1, 0, 0]
    assert len(list(tmp_path.iterdir())) == 2, "the older one lives"
    older.close()
    counting_in(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert newer.total(tmp_path) == [1, 0, 0]


def test_who_starts_everything_begins_at_nothing(tmp_path: Path) -> None:
    counting_in(tmp_path).add({0: 1})
    anew = Tally()
    anew.begin(tmp_path, anew=True)
    assert list(tmp_path.iterdir()) == []
