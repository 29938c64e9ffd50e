"""The short form of the proof; docs/proof.md has the long one. A failure names the seed: FAULTS_SEED=… repeats it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import StartService
from faults import blows, points, verdict
from faults.kinds import kinds
from faults.trial import Trial, environment, origin

SEED = int(os.environ.get("FAULTS_SEED") or time.time())
VOLLEYS, POINTS = 2, 2
WORK_WITHIN = 60.0
"""Seconds, after the lock's holder was killed: the bar (15) is the long form's, on a machine that is not testing."""


pytestmark = pytest.mark.timeout(900)  # it ends by itself, and says more then than a timeout does


@contextmanager
def trial_of(service: StartService, folder: Path, bug: str = "") -> Iterator[Trial]:
    with origin() as provider:
        trial = Trial(service(environment=environment(folder, provider, bug), start=False), provider, folder, SEED)
        trial.begin()
        yield trial


def test_nothing_is_lost_nothing_is_twice_and_every_byte_is_right_whatever_is_killed(
    service: StartService, tmp_path: Path
) -> None:
    with trial_of(service, tmp_path) as trial:
        assert _has_the_wake_up_socket(trial, kinds(trial.service)["pusher"][0])
        blows.stop_under_load(trial)
        for _ in range(VOLLEYS):
            blows.kill_some(trial)
        for name in trial.random.sample(list(points.POINTS), POINTS):
            blows.die_at(trial, name)
        blows.stop_and_continue(trial)
        blows.kill_the_lock_holder(trial, WORK_WITHIN)
        found = trial.end()
        print(dict(trial.tally.seconds))  # shown when it fails
        assert found == [], f"FAULTS_SEED={SEED}"
        assert trial.tally.given_back
        assert trial.load.heard.whole


@pytest.mark.once
def test_the_proof_goes_red_for_an_unfenced_finish_for_a_wrong_byte_and_for_an_orphan_file(
    service: StartService, tmp_path: Path
) -> None:
    with trial_of(service, tmp_path, "unfenced_finish") as trial:
        blows.stop_and_continue(trial)
        assert "was committed under the lease of" in str(trial.findings), f"FAULTS_SEED={SEED}"

        trial.load.stop()
        (sid,) = trial.service.sql("SELECT call_sid FROM call_log WHERE recording_download_status = 'ready' LIMIT 1")[0]
        trial.provider.put(trial.load.names[sid], trial.provider.audio(trial.provider.url("bulk-another", "wav")))
        trial.load.listen(sid, 5)
        assert trial.load.heard.wrong[0].startswith(f"{sid}: wrong bytes")
        assert f"{sid} is ready with other bytes than the provider's" in verdict.right_rows(trial.service, trial.load)

        nobodys = trial.service.var / "recordings" / "999999999"  # in a recording's own folder the clean-up finds it
        nobodys.mkdir()
        (nobodys / f"{'0' * 32}.peaks").touch()
        assert verdict.no_orphan_file(trial.service)
        trial.watch.stop()


def _has_the_wake_up_socket(trial: Trial, pid: int) -> bool:
    """Whether this process is bound to the socket that the cluster is woken by (proc(5), /proc/net/unix)."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    bound = {
        f"socket:[{line[6]}]" for line in lines if line[-1] == str(trial.service.var / "run" / "wake-cluster.sock")
    }
    return any(os.readlink(link) in bound for link in Path(f"/proc/{pid}/fd").iterdir())
