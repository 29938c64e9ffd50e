"""web: the pages and the API, by granian in WSGI mode. `serve` starts it; a host for pages only runs it alone."""

import gc
import os
import signal
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.urls import get_resolver
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from prosaasil.supervisor.processes import call_me, die_with_parent
from recordings import counting

BACKLOG = 2048  # connections that wait to be accepted, in each worker
KILL_AFTER = 3  # seconds that requests under way have to end when we stop: `serve` waits 4

OUR_LOG = {"handlers": {}, "formatters": {}, "loggers": {"_granian": {"propagate": True}}}
"""What granian has to say goes where everything goes, in our format: see LOGGING."""


class Command(BaseCommand):
    """The web processes: a main one, and WEB_WORKERS that share the port."""

    help = "Serve the pages and the API on BIND:PORT."
    requires_system_checks = ()  # `serve` ran them

    def handle(self, *args: Any, **options: Any) -> None:
        """Load the application once, then let granian fork its workers from this process: they share its memory."""
        from prosaasil.wsgi import application

        _ = get_resolver().url_patterns  # imports every view now, not in the first request of each worker
        gc.collect()
        gc.freeze()  # or the workers' first collection would copy every page they share
        counting.begin()
        main = os.getpid()
        call_me("web")

        def load(*args: Any, **kwargs: Any) -> Callable[..., Any]:
            die_with_parent(main, signal.SIGKILL)
            call_me("web-worker")
            return application

        Granian(
            "prosaasil.wsgi:application",
            address=settings.BIND,
            port=settings.PORT,
            interface=Interfaces.WSGI,
            http=HTTPModes.http1,
            websockets=False,
            workers=settings.WEB_WORKERS,
            blocking_threads=settings.WEB_THREADS,
            backlog=BACKLOG,
            workers_kill_timeout=KILL_AFTER,
            log_level=LogLevels.error,
            log_dictconfig=OUR_LOG,
        ).serve(target_loader=load, wrap_loader=False)
