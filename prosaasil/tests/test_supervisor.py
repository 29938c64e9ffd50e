"""The supervisor, seen from outside: real services, real signals.

What is of processes, ports and files only, and no query, is tested `once`.
"""

import os
import signal
import socket
from collections.abc import Iterable

import pytest

from conftest import StartService
from demo.provider import Provider
from demo.rules import ALL
from demo.service import Member, Service, wait_until
from prosaasil.supervisor import ports, processes
from recordings.tests.living import customer


@pytest.fixture(scope="module")
def running(lasting_service: StartService) -> Service:
    """One service for the tests that leave it whole."""
    return lasting_service()


def whole_cluster(service: Service) -> list[Member]:
    """Main, sentinel, three workers, monitor and pusher, once they are all there."""
    return whole(service, "cluster", 7)


def whole_web(service: Service) -> list[Member]:
    """Main and two workers, once they are all there and answer."""
    service.wait_until_ready()
    return whole(service, "web", 3)


def whole(service: Service, role: str, size: int) -> list[Member]:
    def members() -> list[Member]:
        found = service.group(role)
        return found if len(found) == size else []

    return wait_until(members, what=f"{size} processes of {role}")


def zombies_of(parent: int) -> list[int]:
    return [process.pid for process in processes.everyone() if process.parent == parent and process.zombie]


def gone(pid: int) -> bool:
    process = processes.read(pid)
    return process is None or process.zombie


def wait_until_gone(members: Iterable[Member]) -> None:
    wait_until(lambda: all(gone(member.pid) for member in members), what="the old group is gone")


@pytest.mark.parametrize("which", [pytest.param(0, id="main", marks=pytest.mark.once), pytest.param(1, id="a worker")])
def test_a_killed_web_process_takes_its_group_with_it_and_all_of_it_comes_back(running: Service, which: int) -> None:
    cluster, before = whole_cluster(running), whole_web(running)
    os.kill(before[which].pid, signal.SIGKILL)
    wait_until_gone(before)
    assert len([member for member in whole_web(running) if member.leads]) == 1
    assert whole_cluster(running) == cluster, "the other group was left alone"


@pytest.mark.parametrize("which", ["main", "sentinel", "a worker"])
def test_a_killed_cluster_process_takes_its_group_with_it_and_all_of_it_comes_back(
    running: Service, which: str
) -> None:
    before = whole_cluster(running)
    main = before[0]
    sentinel = next(member for member in before if member.parent == main.pid)
    worker = next(member for member in before if member.parent == sentinel.pid)  # idle: it holds the queue's lock
    os.kill({"main": main, "sentinel": sentinel, "a worker": worker}[which].pid, signal.SIGKILL)
    wait_until_gone(before)
    assert len([member for member in whole_cluster(running) if member.leads]) == 1
    wait_until(lambda: not zombies_of(running.pid), what="every exit status has been fetched")


def test_each_process_is_called_what_it_does(running: Service) -> None:
    members = [*whole_cluster(running), *whole_web(running)]
    workers = ["web", "web-worker", "web-worker", "worker", "worker", "worker"]
    expected = sorted(["cluster", "sentinel", "monitor", "pusher", *workers])

    def names() -> list[str]:
        found = (processes.read(member.pid) for member in members)
        return sorted(process.name for process in found if process is not None)

    wait_until(lambda: names() == expected, what="one that was just forked has a name of its own")


def test_web_and_cluster_may_be_served_apart_on_one_data_folder(service: StartService) -> None:
    web = service("--only", "web", start=False)
    web.start(wait=False)
    whole(web, "web", 3)
    cluster = service("--only", "cluster", like=web, start=False)
    cluster.start(wait=False)
    whole(cluster, "cluster", 7)
    assert web.group("cluster") == cluster.group("web") == []
    again = service("--only", "web", like=web, start=False)
    again.start(wait=False)
    assert again.exit_status() == 3
    cluster.stop()
    assert cluster.members() == []
    assert len(whole(web, "web", 3)) == 3


@pytest.mark.once
def test_a_cluster_that_only_stands_still_is_started_again(service: StartService) -> None:
    with Provider(auth="none") as provider:
        running = service(environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address})
        acme = customer(running, provider)
        before = whole_cluster(running)
        sentinel = next(member for member in before if member.parent == before[0].pid)
        workers = [m.pid for m in before if m.parent == sentinel.pid and processes.read(m.pid).name == "worker"]  # type: ignore[union-attr]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        acme.import_recordings({"CA1": "hello"})
        acme.request("POST", "/api/recordings/CA1/download", {})
        wait_until(lambda: acme.statuses() == {"ready": 1}, 90, "another cluster has downloaded it")
        assert "none was begun for" in running.log()


@pytest.mark.once
def test_a_second_serve_on_the_same_data_folder_is_refused_and_says_which_process_runs(
    running: Service, service: StartService
) -> None:
    second = service(like=running, start=False)
    second.start(wait=False)
    assert second.exit_status() == 3
    assert f"Process {running.pid} already serves the data folder" in running.log()
    running.wait_until_ready()


@pytest.mark.once
def test_a_port_that_another_service_would_share_is_taken_all_the_same(running: Service, service: StartService) -> None:
    refused = service(start=False, environment={"PORT": str(running.port)})
    refused.start(wait=False)
    assert refused.exit_status() == 3
    assert f"Can't listen on 127.0.0.1:{running.port}" in refused.log()


@pytest.mark.once
def test_a_taken_port_is_an_error_before_anything_is_started(service: StartService) -> None:
    refused = service(start=False)
    with socket.create_server((ports.LOOPBACK, refused.port)):
        refused.start(wait=False)
        assert refused.exit_status() == 3
    assert f"Can't listen on 127.0.0.1:{refused.port}" in refused.log()
    assert not (refused.var / "run" / "group-web.json").exists()


@pytest.mark.parametrize(
    "how",
    [pytest.param(signal.SIGTERM, id="SIGTERM"), pytest.param(signal.SIGINT, id="Ctrl-C", marks=pytest.mark.once)],
)
def test_a_stop_ends_every_process_and_exits_0(service: StartService, how: signal.Signals) -> None:
    stopped = service()
    stopped.stop(how)
    assert stopped.exit_status() == 0
    assert stopped.members() == []
    assert not (stopped.var / "run" / "group-web.json").exists()


@pytest.mark.once
def test_a_stop_during_the_start_leaves_nothing(service: StartService) -> None:
    stopped = service(start=False)
    stopped.start(wait=False)
    wait_until(lambda: stopped.group("web"), what="its first child runs")
    stopped.stop()
    assert stopped.members() == []


@pytest.mark.once
def test_a_stop_does_not_wait_for_a_worker_that_hangs(service: StartService) -> None:
    stopped = service()
    os.kill(whole_cluster(stopped)[-1].pid, signal.SIGSTOP)
    stopped.stop()
    assert stopped.members() == []
    assert "group_killed" in stopped.log()


def test_a_stop_under_load_gives_every_lease_back_and_kills_nobody(service: StartService) -> None:
    with Provider(auth="none") as provider:
        provider.misbehave(ALL, "stall-body")
        loaded = service(environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": provider.address})
        acme = customer(loaded, provider)
        acme.import_recordings({f"CA{number}": f"bulk-{number:06}" for number in range(100)})
        loaded.manage("backfill_recordings")
        wait_until(lambda: acme.statuses().get("downloading", 0) >= 40, what="downloads are under way")
        loaded.stop()
        assert acme.statuses() == {"queued": 100}
        assert loaded.members() == []
        assert "group_killed" not in loaded.log()


@pytest.mark.once
def test_the_processes_of_a_killed_serve_end_by_themselves(service: StartService) -> None:
    killed = service()
    killed.stop(signal.SIGKILL)
    wait_until(lambda: killed.members() == [], what="its groups have noticed")


@pytest.mark.once
def test_what_a_killed_serve_could_not_end_is_ended_by_the_next(service: StartService) -> None:
    killed = service()
    hanging = [member.pid for member in whole_cluster(killed)]
    for pid in hanging:
        os.kill(pid, signal.SIGSTOP)
    killed.stop(signal.SIGKILL)
    assert not any(gone(pid) for pid in hanging)
    following = service(like=killed)
    assert all(gone(pid) for pid in hanging)
    assert len(whole_cluster(following)) == 7


@pytest.mark.once
def test_a_stranger_with_a_remembered_number_is_left_alone(service: StartService) -> None:
    started = service(start=False)
    (started.var / "run" / "group-web.json").write_text(f'{{"token": "of another", "session": {os.getsid(0)}}}')
    started.start()
    started.stop()
    assert not gone(os.getpid()), "this test's own session was remembered"
