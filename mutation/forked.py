"""A pytest plugin for the processes that mutmut forks: each has a data folder and a database of its own.

mutmut's fork server collects the tests once, and forks for each mutant, so the root's conftest.py has been imported
before; its data folder must not be shared, and migrating a database takes longer than most mutants' tests.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

PREPARED = "MUTATION_DATABASE"
"""In the environment: a migrated, empty SQLite database, to copy. Its folder is where the copies are."""


def pytest_configure(config: pytest.Config) -> None:
    """Move into a new data folder, which conftest.py removes at the end."""
    import django.test.utils
    from django.conf import settings
    from django.db import connection
    from hypothesis import Phase
    from hypothesis import settings as hypothesis

    hypothesis.register_profile("mutation", phases=[Phase.explicit, Phase.generate], database=None, deadline=None)
    hypothesis.load_profile("mutation")  # that it fails is enough; nobody reads the simplest example
    prepared = Path(os.environ[PREPARED])
    var = Path(tempfile.mkdtemp(dir=prepared.parent))
    conftest = next(plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "VAR"))
    shutil.rmtree(conftest.VAR, ignore_errors=True)
    conftest.VAR = str(var)
    settings.PROSAASIL_VAR, settings.RUN_DIR = var, var / "run"
    settings.STATIC_ROOT, settings.RECORDINGS_ROOT = var / "static", var / "recordings"
    database = shutil.copy(prepared, var / "test.sqlite3")

    def use_the_copy(**_: object) -> list[object]:
        connection.close()
        settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = str(database)
        return []  # nothing for Django to destroy

    django.test.utils.setup_databases = use_the_copy  # type: ignore[assignment]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first: most mutants die at once."""
    stats = Path("mutmut-stats.json")
    seconds = json.loads(stats.read_text())["duration_by_test"] if stats.exists() else {}
    items.sort(key=lambda item: float(seconds.get(item.nodeid, 0)))
