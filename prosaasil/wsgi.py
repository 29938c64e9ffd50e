"""The WSGI entry point that granian serves."""

import os

import django
from django.conf import settings
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, reset_queries

from prosaasil.farewell import close_with_threads
from prosaasil.handler import Handler

os.umask(0o027)  # no file of ours is for other users of the machine
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "prosaasil.settings")
django.setup(set_prefix=False)
close_with_threads()
# What has nothing to do here, at each request: nobody logs queries, no cache has a connection, and SQLite's connections
# are looked at as a request ends.
if not settings.DEBUG:
    request_started.disconnect(reset_queries)
if connection.vendor == "sqlite":
    request_started.disconnect(close_old_connections)
request_finished.disconnect(close_caches)
application = Handler()
