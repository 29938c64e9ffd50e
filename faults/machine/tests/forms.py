"""The short form is for `./test`; the long one runs with LONG=1, on both databases whole."""

import pytest

from recordings.tests.living import LONG

long_form = pytest.mark.skipif(not LONG, reason="the long form: LONG=1")

once = pytest.mark.timeout(300) if LONG else pytest.mark.once
"""In the short form on SQLite only; in the long one no more than the time-out that all tests have."""
