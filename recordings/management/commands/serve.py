"""serve: everything on one machine under one process. `./run` is `serve --prepare --demo`."""

import contextlib
import http.client
import json
import os
import sys
import threading
import time
from argparse import ArgumentParser, BooleanOptionalAction
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, SystemCheckError
from django.db import DatabaseError, connections
from django.utils.module_loading import import_string

from calls.models import Business
from demo.checks import reached_from_elsewhere
from demo.data import COMPANIES, OPERATOR, PASSWORD
from prosaasil.supervisor import ports, processes
from prosaasil.supervisor.group import Program
from prosaasil.supervisor.run_folder import TOKEN_NAME, AlreadyServed, LeftoversStay, RunFolder
from prosaasil.supervisor.supervisor import Supervisor
from prosaasil.supervisor.sweeper import Sweeper, Watch
from recordings import counting
from recordings.management.command import PlainCommand
from recordings.management.commands.prepare import in_words, unapplied_migrations
from recordings.models import Recording
from recordings.watch import ClusterWatch

USAGE, ENVIRONMENT = 2, 3  # exit statuses: a wrong call; something on this machine is not as it must be
BURST = 5.0  # seconds at most that the address is kept back for the first downloads to be logged
FIRST_STEPS = """
This database has no business yet. In another terminal:
  .venv/bin/python manage.py createsuperuser
  .venv/bin/python manage.py create_business acme --name "Acme" --provider twilio \\
      --base-url https://api.twilio.com --hosts api.twilio.com \\
      --auth basic --username ACCOUNT_SID --secret-env ACME_SECRET
  .venv/bin/python manage.py create_member anna --business acme --role manager --password-stdin
  .venv/bin/python manage.py import_calls calls.csv --business acme
"""


class Command(PlainCommand):
    """The supervisor: web, cluster, sweep, and for the demo its provider; one process that ends them all."""

    help = "Serve the product on this machine: web, cluster and sweep under one process. SIGTERM or Ctrl-C ends it."
    requires_system_checks = ()  # run below, once everything is prepared

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What to do before serving."""
        parser.add_argument("--prepare", action="store_true", help="first do what `prepare` does")
        parser.add_argument(
            "--new-storage", action="store_true", help="with --prepare: make an empty recordings folder if it is gone"
        )
        parser.add_argument(
            "--demo",
            action=BooleanOptionalAction,
            default=False,
            help="load demo data and run a demo provider; on loopback only, since its passwords are public",
        )
        parser.add_argument(
            "--only",
            choices=["web", "cluster"],
            help="run this part alone: for machines of its own, or to restart one and leave the other",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse what can't work, end what was left behind, prepare, serve. Exit 3 says what to put right."""
        if options["demo"] and (elsewhere := reached_from_elsewhere()):
            raise _unfit(
                f"The demo's passwords are public, so it serves this machine only: {elsewhere} is refused. "
                f"Leave {elsewhere.partition('=')[0]} out, or use --no-demo."
            )
        if options["demo"] and options["only"]:
            raise CommandError("The demo needs all of it: leave --only or --demo out.", returncode=USAGE)
        parts = [options["only"]] if options["only"] else ["web", "cluster"]
        run_folder = RunFolder(Path(settings.RUN_DIR), [*parts, "demo"] if options["demo"] else parts)
        try:
            with in_words(), run_folder.held():
                run_folder.end_leftovers()
                counting.begin(anew=not options["only"])
                with ports.hold(settings.BIND, settings.PORT) if "web" in parts else contextlib.nullcontext():
                    demo_port = _allow_demo_provider() if options["demo"] else None
                    words = self._prepare(options, demo_port)
                    self._serve(run_folder, parts, demo_port, words)
        except AlreadyServed as error:
            raise _unfit(
                f"Process {error.pid} already serves the data folder {settings.PROSAASIL_VAR}. Stop it first, or set "
                "PROSAASIL_VAR to another folder (and PORT to another port)."
            ) from None
        except LeftoversStay as error:
            pids = ", ".join(map(str, error.pids))
            raise _unfit(f"Processes of an earlier `serve` can't be ended: {pids}. End them by hand.") from None
        except ports.PortTaken as error:
            raise _unfit(f"Can't listen on {error}. Stop what uses it, or set PORT to another one.") from None
        except KeyboardInterrupt:  # while preparing: nothing has been started
            sys.exit(130)

    def _prepare(self, options: dict[str, Any], demo_port: int | None) -> str:
        """What comes before the first process; returns what to tell a person once it runs."""
        try:
            if options["prepare"]:
                call_command("prepare", new_storage=options["new_storage"])
            elif lacking := unapplied_migrations():
                raise _unfit(f"The database lacks {lacking} migrations. Run `manage.py prepare`, or `serve --prepare`.")
            self.check()
            if demo_port is not None:
                call_command("load_demo", provider_url=f"http://{ports.LOOPBACK}:{demo_port}")
                return _about_the_demo(demo_port)
            return "" if Business.objects.exists() else FIRST_STEPS
        except SystemCheckError as error:
            raise _unfit(str(error)) from None
        finally:
            connections.close_all()
            self.stdout.flush()

    def _serve(self, run_folder: RunFolder, parts: list[str], demo_port: int | None, words: str) -> None:
        os.environ[TOKEN_NAME] = run_folder.token
        processes.allow_descriptors()
        watch = ClusterWatch()
        sweeper = Sweeper(partial(_sweep_and_look, watch))
        alarms = Watch(import_string("recordings.tasks.look"))
        stopping = partial(self._say, "Stopping …")
        programs = [program for program in _programs(watch, demo_port) if program.name in {*parts, "demo"}]
        supervisor = Supervisor(programs, started=run_folder.remember, stopping=stopping, restarted=counting.restarted)
        self._say("Starting …")
        if "web" in parts:
            threading.Thread(target=self._announce, args=(words,), daemon=True).start()
        if "cluster" in parts:
            sweeper.start()
            alarms.start()
        gone = supervisor.run()
        alarms.tell_to_stop()
        sweeper.stop(patience=0.5)
        if gone:
            run_folder.forget()
            self._say("Stopped.")
        # In the middle of a slow statement, which the database rolls back; or of a message, which is sent again.
        if sweeper.is_alive() or alarms.is_alive():
            os._exit(0)

    def _announce(self, words: str) -> None:
        """Say where it is, once it is there."""
        while not _healthy():
            time.sleep(0.1)
        _wait_for_the_first_burst()
        self._say(f"\nprosaasil is at {settings.PUBLIC_URL}\n{words}Ctrl-C ends it.\n")

    def _say(self, words: str) -> None:
        """A line for whoever started it; nobody may read it any more."""
        with contextlib.suppress(OSError):
            self.stdout.write(words)
            self.stdout.flush()


def _wait_for_the_first_burst() -> None:
    """What was just loaded is downloaded, a log line each, before people read the address; not for long."""
    until = time.monotonic() + BURST
    with contextlib.suppress(DatabaseError):
        while Recording.objects.waiting().exists() and time.monotonic() < until:
            time.sleep(1.0)  # and as long again for what was claimed last to end
        connections.close_all()


def _unfit(words: str) -> CommandError:
    return CommandError(words, returncode=ENVIRONMENT)


def _about_the_demo(port: int) -> str:
    lines = [f"  {company.name}: {company.manager} (manager), {company.listener} (listener)" for company in COMPANIES]
    lines.append(f"  all of it, at {settings.PUBLIC_URL}/admin/: {OPERATOR} (operator)")
    lines.append(
        f"What the demo provider has seen and can do wrong: http://{ports.LOOPBACK}:{port}/_control/misbehaviours"
    )
    lines.append(
        "That provider fails on purpose for some recordings: lines like “Recording download failed” and “Provider "
        "refuses this business's credentials” are meant."
    )
    return "\n".join([f"Demo logins, each with the password {PASSWORD}:", *lines, ""])


def _sweep_and_look(watch: ClusterWatch) -> None:
    import_string("recordings.tasks.sweep")()
    watch.look()


def _programs(watch: ClusterWatch, demo_port: int | None) -> list[Program]:
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    web = Program("web", [*manage, "web"], "web")
    cluster = Program("cluster", [*manage, "qcluster"], "cluster", trouble=watch.trouble)
    if demo_port is None:
        return [web, cluster]
    command = [*manage, "demo_provider", "--port", str(demo_port)]
    provider = Program("demo", command, "command", last=True)
    # Without a provider that answers, what waits would fail at once.
    return [provider, web, replace(cluster, may_start=partial(ports.accepts, demo_port))]


def _allow_demo_provider() -> int:
    """Choose the demo provider's port, the last one if it is free, and allow downloads from it; returns it."""
    memory = Path(settings.PROSAASIL_VAR) / "demo.json"
    try:
        last = int(json.loads(memory.read_text())["port"])
    except (OSError, ValueError, KeyError, TypeError):
        last = None
    port = ports.free_port(last)
    memory.write_text(json.dumps({"port": port}))
    allowed = settings.RECORDINGS_ALLOW_PRIVATE_HOSTS | {f"{ports.LOOPBACK}:{port}"}
    settings.RECORDINGS_ALLOW_PRIVATE_HOSTS = frozenset(allowed)  # for this process, which has read its settings
    os.environ["RECORDINGS_ALLOW_PRIVATE_HOSTS"] = ",".join(sorted(allowed))  # for those that it starts
    return port


def _healthy() -> bool:
    host = {"0.0.0.0": ports.LOOPBACK, "::": "::1"}.get(settings.BIND, settings.BIND)  # noqa: S104 - compared, not bound
    connection = http.client.HTTPConnection(host, settings.PORT, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()
