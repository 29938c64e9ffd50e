"""The project's settings with django-q2 as it comes: its ORM broker, polling each 0.2 s. For click_latency."""

from prosaasil.settings import *  # noqa: F403

Q_CLUSTER = {
    "name": "stock",
    "orm": "default",
    "workers": 3,
    "poll": 0.2,
    "timeout": 60,
    "retry": 120,
    "save_limit": 250,
}
