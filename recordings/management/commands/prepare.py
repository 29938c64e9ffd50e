"""prepare: make the database, the recordings folder and the static files fit for serving. Safe to repeat."""

import hashlib
import json
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from calls.models import CallLog
from prosaasil import trouble
from prosaasil.environment import private_folder
from recordings.download.errors import StorageError
from recordings.management.command import PlainCommand
from recordings.storage import StorageAway, default_storage

UNUSED = ["redoc"]  # half of all bytes of the API's documentation; ours is Swagger UI's


class Command(PlainCommand):
    """Before the first start and after each new version; `serve --prepare` does it too."""

    help = "Migrate the database, mark the recordings folder, collect the static files. Safe to repeat."
    requires_system_checks = ()  # what they look for may be what is prepared here

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--new-storage`: start an empty recordings folder although the old one's files are missed."""
        parser.add_argument(
            "--new-storage",
            action="store_true",
            help="the recordings folder is gone for good: make an empty one, and fetch what was in it again when asked",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Each step says what it does only when there is something to do."""
        with in_words():
            private_folder(settings.PROSAASIL_VAR)
            self._database()
            self._storage(new=options["new_storage"])
            self._static_files()

    def _database(self) -> None:
        if unapplied_migrations():
            self.stdout.write("Preparing the database …")
            self.stdout.flush()
        call_command("migrate", interactive=False, verbosity=0)

    def _storage(self, new: bool) -> None:
        """A folder without its marker may be a disk that is not mounted: marking it would lose every file."""
        storage = default_storage()
        try:
            storage.check()
        except StorageAway:
            kept = CallLog.objects.filter(recording_download_status="ready").count()
            if kept and not new:
                self.stderr.write(
                    f"The recordings folder {settings.RECORDINGS_ROOT} is not there (its marker file is missing), but "
                    f"{kept} recordings are kept in it. Nothing is lost: mount it or put it back, and they play again. "
                    "If it is gone for good: manage.py prepare --new-storage."
                )
                return
            storage.prepare()

    def _static_files(self) -> None:
        stamp = Path(settings.RUN_DIR) / "static.stamp"
        sources = _fingerprint()
        manifest = Path(settings.STATIC_ROOT) / "staticfiles.json"
        if manifest.exists() and stamp.exists() and stamp.read_text() == sources:
            return
        self.stdout.write("Collecting the static files …")
        self.stdout.flush()
        stamp.unlink(missing_ok=True)
        _forget_copies(manifest)
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=UNUSED)
        stamp.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        stamp.write_text(sources)


@contextmanager
def in_words() -> Iterator[None]:
    """Turn a database that does not answer and a disk that takes nothing into exit 3 and what to do."""
    try:
        yield
    except OperationalError as error:
        words = f"The database does not answer: {trouble.of_database(error)}"
    except StorageError as error:
        words = _joined(
            f"The recordings folder {settings.RECORDINGS_ROOT} can't be made: {error.detail.rstrip('.')}",
            trouble.of_disk(settings.RECORDINGS_ROOT),
        )
    except OSError as error:
        if not trouble.is_full(error):
            raise
        words = _joined(str(error), trouble.of_disk(Path(error.filename or settings.PROSAASIL_VAR), error))
    else:
        return
    raise CommandError(words, returncode=3)


def _joined(*sentences: str) -> str:
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _forget_copies(manifest: Path) -> None:
    """Remove the copies under plain names: collectstatic keeps one that is younger than a source that has changed.

    Those under hashed names stay, for pages that are open now.
    """
    if manifest.exists():
        for name in json.loads(manifest.read_text())["paths"]:
            (manifest.parent / name).unlink(missing_ok=True)


def unapplied_migrations() -> int:
    """How many migrations the database lacks."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _fingerprint() -> str:
    """Changes when a static file, or what is done with them, does: from names, sizes and times, not from contents."""
    digest = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for path, storage in finder.list(UNUSED):
            status = Path(storage.path(path)).stat()
            digest.update(f"{storage.path(path)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
