"""The WSGI entry point that granian serves."""

import os

import django

from prosaasil.farewell import close_with_threads
from prosaasil.handler import Handler

os.umask(0o027)  # no file of ours is for other users of the machine
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "prosaasil.settings")
django.setup(set_prefix=False)
close_with_threads()
application = Handler()
