"""Management commands at once: each is forked from a process that has the libraries in memory and no settings yet.

    warm.manage(["import_calls", "-", "--business", "acme"], environment, stdin=lines)

Most of what `manage.py COMMAND` takes is the import of Django and of what else it stands on: more than a second, the
same each time. Here that is done once. From there on it is `manage.py` as it is: our own modules and the settings are
read in the forked process, from the environment it is given. For tests; nothing of the product imports it.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"

LIBRARIES = (
    "django.contrib.admin.sites", "django.contrib.auth.hashers", "django.contrib.messages.storage.fallback",
    "django.contrib.postgres.fields", "django.contrib.sessions.backends.db", "django.contrib.staticfiles.finders",
    "django.contrib.staticfiles.storage", "django.core.management.commands.check", "django.db.backends.sqlite3.base",
    "django.db.migrations.executor", "django.template.context_processors", "django.test", "django.views.generic",
    "django_filters", "environ", "psycopg_pool", "requests", "rest_framework.compat", "rest_framework.serializers",
    "whitenoise.middleware", "yaml",
)  # fmt: skip
"""What may be imported before there are settings, and is worth it."""


class _Process:
    """The process that is forked from; started at the first command, ended with ours."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, question: Mapping[str, object]) -> int:
        """Have one command run; returns its exit status."""
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "demo.warm"], cwd=MANAGE.parent,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                atexit.register(self._end)
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer, "the process that commands are forked from has died"
        return int(answer)

    def _end(self) -> None:
        if self._process is not None:
            self._process.communicate()


_process = _Process()


def manage(
    arguments: Sequence[str], environment: Mapping[str, str], *, stdin: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a management command with exactly this environment; its output is text. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="prosaasil-manage-") as name:
        folder = Path(name)
        (folder / "stdin").write_text(stdin)
        question = {
            "arguments": arguments,
            "environment": environment,
            "folder": str(Path.cwd()),
            "files": [str(folder / name) for name in ("stdin", "stdout", "stderr")],
        }
        status = _process.ask(question)
        stdout, stderr = ((folder / name).read_text() for name in ("stdout", "stderr"))
    done = subprocess.CompletedProcess([str(MANAGE), *arguments], status, stdout, stderr)
    if check:
        done.check_returncode()
    return done


def main() -> None:
    """Fork a process for each line that comes; it goes on as manage.py."""
    for library in LIBRARIES:
        import_module(library)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(**json.loads(line))
            import_module("manage").main()
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - the answer


def _become(arguments: list[str], environment: dict[str, str], folder: str, files: list[str]) -> None:
    """Be as if started with these."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, (file, flags) in enumerate(zip(files, (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT] * 2), strict=True)):
        opened = os.open(file, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1, errors="backslashreplace")
    sys.argv = [str(MANAGE), *arguments]


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main()
