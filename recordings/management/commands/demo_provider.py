"""demo_provider: the provider of the demo, tests and benchmarks as a process of its own (demo/provider.py)."""

import errno
import json
import signal
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from demo.provider import Provider
from recordings.management.command import PlainCommand

ENVIRONMENT = 3
"""Exit status: something on this machine is not as it must be."""


def port_number(text: str) -> int:
    """0 to 65535; ArgumentTypeError for anything else."""
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise ArgumentTypeError(_("Unexpected port '%(text)s', use 0 to 65535 (0: any free one)") % {"text": text})
    return int(text)


class Command(PlainCommand):
    """Runs in the foreground, on loopback only, until SIGTERM or SIGINT."""

    help = (
        "Serve synthetic recordings on this machine, in Twilio's URL shapes and a generic one, for trying things out."
    )
    requires_system_checks = ()  # it needs no database

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where, and whose credentials it takes at /recordings/."""
        parser.add_argument("--port", type=port_number, default=0, help="0 (any free one) by default")
        parser.add_argument("--auth", choices=("basic", "bearer", "none"), default="basic", help="for /recordings/")
        parser.add_argument("--json", action="store_true", help="print address and credentials as one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the address once it listens; exit status 3 when the port is taken."""
        ends = {signal.SIGTERM, signal.SIGINT}
        # Blocked before the first thread starts, so that every thread inherits it and sigwait() below gets them.
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        provider = Provider(port=options["port"], auth=options["auth"])
        try:
            provider.start()
        except OSError as error:
            what = (
                _("Port %(port)d is taken. Choose another one, or leave --port out.") % {"port": options["port"]}
                if error.errno == errno.EADDRINUSE
                else _("Can't listen on port %(port)d: %(error)s.") % {"port": options["port"], "error": error.strerror}
            )
            raise CommandError(what, returncode=ENVIRONMENT) from None
        self.stdout.write(json.dumps(_facts(provider)) if options["json"] else _words(provider))
        self.stdout.flush()
        signal.sigwait(ends)
        provider.stop()


def _facts(provider: Provider) -> dict[str, object]:
    """What a program needs to use it. The secrets are the demo's own and open to all."""
    generic = {"auth": provider.auth, "username": provider.username, "secret": provider.secret}
    return {
        "base_url": provider.base_url,
        "address": provider.address,
        "port": provider.port,
        "twilio": provider.accounts,
        "generic": generic,
    }


def _words(provider: Provider) -> str:
    """The same for people."""
    lines = [_("The demo provider is at %(url)s") % {"url": provider.base_url}]
    lines += [
        f"  {provider.twilio_url('{sid}', 'wav', sid)}  ({sid} / {token})" for sid, token in provider.accounts.items()
    ]
    lines.append(f"  {provider.url('{name}')}  ({provider.auth}: {provider.username} / {provider.secret})")
    lines.append(
        _("What it has seen and can do wrong: %(url)s") % {"url": f"{provider.base_url}/_control/misbehaviours"}
    )
    lines.append(_("Ctrl-C ends it."))
    return "\n".join(lines)
