"""A project of one view that returns FileResponse in blocks of 256 KB, on the same server. For warm_play."""

from prosaasil.settings import *  # noqa: F403

MIDDLEWARE = []
ROOT_URLCONF = "benchmarks.bare_urls"
