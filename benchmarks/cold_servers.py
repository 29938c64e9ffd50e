"""What the cold benchmarks compare: our service, nginx's proxy_cache and Varnish, all in front of the same origin.

The peers are set up at their best: they may wait for one fetch as long as it takes, and keep what they have fetched.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, cast

from benchmarks.cold_origin import Origin
from benchmarks.crowd import get
from demo.provider import Provider
from demo.service import Service, prepare, wait_until
from prosaasil.supervisor.ports import LOOPBACK, accepts, free_port
from recordings.tests.living import Customer, customer

NGINX = """
daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=cold:10m max_size=4g use_temp_path=off;
  server {{
    listen {host}:{port} backlog=2048;
    location / {{
      proxy_pass {origin}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache cold; proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;
    }}
  }}
}}
"""
VARNISH = """
vcl 4.1;
backend default {{ .host = "{host}"; .port = "{port}"; }}
sub vcl_recv {{ return (hash); }}
"""
PEERS = {"nginx": "nginx", "Varnish": "varnishd"}
"""Name → program."""


class Server(Protocol):
    """Something that plays the origin's recordings."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        ...

    def request(self, recording: str) -> bytes:
        """The request of one listener, from the first byte on."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class Direct:
    """The origin itself."""

    def __init__(self, origin: Origin) -> None:
        self.address = (origin.host, origin.port)

    def request(self, recording: str) -> bytes:
        """See Server."""
        return get(f"/recordings/{recording}.wav", self.address)

    def stop(self) -> None:
        """It is not ours to end."""


class Peer(Direct):
    """nginx or Varnish with a folder of its own, on loopback."""

    def __init__(self, name: str, folder: Path, origin: Origin) -> None:
        folder.mkdir()
        self.address = (LOOPBACK, free_port())
        start = _nginx if name == "nginx" else _varnish
        with (folder / "log").open("wb") as log:
            command = start(folder, origin, self.address)
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: accepts(self.address[1]), 20, f"{name} answers: see {folder}/log")
        except AssertionError:
            self.stop()
            raise AssertionError((folder / "log").read_text()) from None

    def stop(self) -> None:
        """End it, and wait."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Ours:
    """A service as `manage.py serve` makes it, with all settings as they are; the recordings are imported at once."""

    def __init__(self, folder: Path, origin: Origin, recordings: Iterable[str]) -> None:
        prepare(folder)
        self.service = Service(folder, environment={"RECORDINGS_ALLOW_PRIVATE_HOSTS": origin.address})
        self.service.start()
        self.address = (LOOPBACK, self.service.port)
        try:
            self._customer: Customer = customer(self.service, cast(Provider, origin), "bench")
            self._customer.import_recordings({sid(recording): recording for recording in recordings})
        except BaseException:
            self.stop()
            raise

    def request(self, recording: str) -> bytes:
        """See Server."""
        return self.get(f"recordings/{sid(recording)}/stream?live=1")

    def get(self, path: str) -> bytes:
        """Any GET request under /api/."""
        return get(f"/api/{path}", self.address, Authorization=f"Token {self._customer.token}")

    def stop(self) -> None:
        """End all of its processes."""
        try:
            self.service.stop()
        finally:
            self.service.kill()


def sid(recording: str) -> str:
    """The call of a recording."""
    return f"CA-{recording}"[:64]


def missing_peers() -> list[str]:
    """Those that are not installed."""
    return [name for name, program in PEERS.items() if _find(program) is None]


def install_peers() -> None:
    """From Debian's packages, as root. RUNLEVEL: nothing of them is started."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = ["apt-get", "install", "-y", "--no-install-recommends", "nginx", "varnish"]
    subprocess.run(command, env=environment, check=True, timeout=600)


def _find(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin")


def _nginx(folder: Path, origin: Origin, address: tuple[str, int]) -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    host, port = address
    text = NGINX.format(folder=folder, host=host, port=port, origin=origin.base_url, user=user)
    (folder / "nginx.conf").write_text(text)
    return [_find("nginx") or "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _varnish(folder: Path, origin: Origin, address: tuple[str, int]) -> list[str]:
    (folder / "cold.vcl").write_text(VARNISH.format(host=origin.host, port=origin.port))
    host, port = address
    return [
        _find("varnishd") or "varnishd", "-F", "-j", "none", "-a", f"{host}:{port}", "-T", "none",
        "-f", str(folder / "cold.vcl"), "-s", "malloc,2g", "-n", str(folder / "work"),
    ]  # fmt: skip
