"""django-q2's cluster, with drains that are told of a stop."""

import multiprocessing
import signal
from importlib import import_module
from multiprocessing.util import register_after_fork
from typing import Any

from django_q.cluster import Cluster
from django_q.management.commands.qcluster import Command as StockCommand

from prosaasil.supervisor.processes import call_me
from recordings import bell, counting
from recordings.download import stopping, worker


class TellingCluster(Cluster):  # type: ignore[misc]
    """Tells the drains to give back what they have before the sentinel waits for them; only main hears SIGTERM."""

    def sig_handler(self, signum: int, frame: Any) -> None:
        """Heard once. A second signal amid the stop would wait for ever for a lock that the first one holds.

        It comes: the kernel tells of a parent's death once for each of its threads (prctl(2), PR_SET_PDEATHSIG).
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        super().sig_handler(signum, frame)

    def stop(self) -> bool:
        """Tell, wake, stop."""
        stopping.tell()
        bell.wake()
        return bool(super().stop())


class Command(StockCommand):  # type: ignore[misc]
    """Starts a cluster whose downloads survive its stop."""

    help = "Starts the queue's cluster: the workers that download recordings."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT."""
        stopping.forget()
        call_me("cluster")
        register_after_fork(self, _call_it_what_it_does)
        counting.begin()
        import_module(bell.DRAIN.rpartition(".")[0])  # the workers would each load it, at their first bell
        worker.warm_up()
        cluster = TellingCluster()
        cluster.start()
        if options["run_once"]:
            cluster.stop()
        elif cluster.sentinel is not None:
            # Stay in our own code while it runs, so that the exit is as orderly after SIGTERM as after its end.
            cluster.sentinel.join()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _call_it_what_it_does(_anchor: object) -> None:
    """In each process that multiprocessing forks: django-q2's sentinel, worker, monitor or pusher."""
    target = getattr(multiprocessing.current_process(), "_target", None)
    call_me(getattr(target, "__name__", "cluster").lower())
