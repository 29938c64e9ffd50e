"""The WSGI entry point that granian serves."""

import os

from django.core.wsgi import get_wsgi_application

os.umask(0o027)  # no file of ours is for other users of the machine
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "prosaasil.settings")
application = get_wsgi_application()
