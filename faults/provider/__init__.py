"""What a provider and a crowd can do to the product, proved to do no harm: `python -m faults.provider.NAME`.

misbehave, cuts, asks, outage: see docs/proof.md. Importing this sets Django up, on a data folder of this process's
own, unless that has been done (by the tests' conftest.py).
"""

import atexit
import os
import shutil
import tempfile

import django
from django.apps import apps


def _set_up() -> None:
    folder = tempfile.mkdtemp(prefix="prosaasil-proof-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["PROSAASIL_VAR"] = folder
    os.environ["DJANGO_SETTINGS_MODULE"] = "prosaasil.settings"
    django.setup()


if not apps.ready:
    _set_up()
