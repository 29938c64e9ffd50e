"""manage.py demo_provider, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo import warm
from demo.provider import Provider
from demo.tests.client import Client


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """One that is sent signals: a process as a shell starts it."""
    environment = {**os.environ, "PROSAASIL_VAR": str(folder)}
    command = [sys.executable, str(warm.MANAGE), "demo_provider", *options]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_serves_and_ends_on_a_signal(tmp_path: Path, end: signal.Signals) -> None:
    with start(tmp_path, "--json") as process:
        try:
            assert process.stdout is not None
            facts = json.loads(process.stdout.readline())
            there = Provider(port=facts["port"])  # never started: only so that the client knows the address
            assert facts["base_url"] == there.base_url
            with Client(there) as client, Client(there) as held:
                assert client.ask("/recordings/hello").status == 200
                held.send("/recordings/hello-stall-body")
                assert held.sock.recv(1)
                process.send_signal(end)
                assert process.wait(20) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
        finally:
            process.kill()


def refused(folder: Path, *options: str) -> tuple[int, str]:
    """Exit status and stderr of one that ends by itself."""
    own = {**os.environ, "PROSAASIL_VAR": str(folder)}
    done = warm.manage(["demo_provider", *options], own, check=False)
    return done.returncode, done.stderr


def test_a_taken_port_is_an_error_with_status_3(tmp_path: Path) -> None:
    with Provider() as other:
        status, said = refused(tmp_path, "--port", str(other.port))
    assert status == 3
    assert f"Port {other.port} is taken" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_makes_no_sense_is_a_usage_error(tmp_path: Path, port: str) -> None:
    status, said = refused(tmp_path, f"--port={port}")
    assert status == 2
    assert "0 to 65535" in said


def test_people_read_the_address_and_the_credentials(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(5)]
            assert "The demo provider is at http://127.0.0.1:" in lines[0]
            assert "/2010-04-01/Accounts/AC" in lines[1]
            assert "(basic: demo / demo-secret)" in lines[2]
        finally:
            process.terminate()
            process.communicate(timeout=20)
