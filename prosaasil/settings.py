"""All settings, from the environment. docs/operating.md lists the variables; a wrong value stops the start."""

from pathlib import Path
from typing import Any

from django.utils.translation import gettext_lazy as _

from prosaasil import alarm_settings as alarms
from prosaasil import environment as env
from prosaasil.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
PROSAASIL_VAR = env.folder("PROSAASIL_VAR", BASE_DIR / "var")
PROSAASIL_ROLE = env.choice(
    "PROSAASIL_ROLE", "command", "command", "web", "cluster"
)  # `serve` sets it for its children
RUN_DIR = PROSAASIL_VAR / "run"  # sockets, locks and signs of life of this machine's processes

BIND = env.text("BIND", "127.0.0.1")
PORT = env.integer("PORT", 8000, 1, 65535)
PUBLIC_URL = env.url("PUBLIC_URL", env.address_of(BIND, PORT))
PUBLIC_IS_HTTPS = PUBLIC_URL.startswith("https://")

DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY") or env.key_file(PROSAASIL_VAR / "keys" / "secret_key")
METRICS_TOKEN = env.token("METRICS_TOKEN")  # who may read /metrics from another machine
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS") or ["localhost", "127.0.0.1", "[::1]", env.host_of(PUBLIC_URL)]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
if PUBLIC_IS_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "calls",
    "recordings",  # before django_q: its qcluster command is ours
    "django_q",
    "demo",
]
MIDDLEWARE = [
    "prosaasil.middleware.RequestId",
    "prosaasil.middleware.ShortWay",
    "prosaasil.middleware.BodyLimits",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "prosaasil.middleware.ContentSecurityPolicy",
    "prosaasil.middleware.Sessions",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "prosaasil.middleware.Logins",
    "prosaasil.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "prosaasil.urls"
FORCE_SCRIPT_NAME = ""  # it is served at the root; to look for another place costs each request
WSGI_APPLICATION = "prosaasil.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _database() -> dict[str, Any]:
    config = env.database("DATABASE_URL", f"sqlite:///{PROSAASIL_VAR / 'prosaasil.sqlite3'}")
    if config["ENGINE"].endswith("sqlite3"):
        # WAL and IMMEDIATE together: without either, "database is locked" under a handful of writers.
        pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=30000;"
        # The sweep writes the log back (sweeping.py): who commits would wait for the disk, and clicks behind a backfill
        # with them. 80 MB, where nobody sweeps.
        pragmas += " PRAGMA wal_autocheckpoint=20000;"
        # A thread that gives its connection up leaves it for the next.
        engine = "prosaasil.pooled_sqlite3" if PROSAASIL_ROLE == "web" else config["ENGINE"]
        return config | {
            "ENGINE": engine,
            "CONN_MAX_AGE": None,
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": pragmas},
            # A file: threads that share a database in memory meet locks that wait for nobody.
            "TEST": {"NAME": str(PROSAASIL_VAR / "test.sqlite3")},
        }
    if PROSAASIL_ROLE == "web":
        # Many threads share few connections. Never in a cluster: a pool does not survive its forks.
        pool = {"min_size": 1, "max_size": env.integer("DATABASE_POOL", 20, 1, 500), "timeout": 30}
        return config | {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": pool}}
    config |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    if PROSAASIL_ROLE == "cluster":
        # A worker that is stopped or cut off amid a claim must not keep the lock of all claims.
        within = {"options": "-c idle_in_transaction_session_timeout=20000", "keepalives_idle": 30}
        config["OPTIONS"] = within | config.get("OPTIONS", {})
    return config


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
SESSION_COOKIE_NAME = "prosaasil_session"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "media-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

LANGUAGE_CODE = env.choice("LANGUAGE_CODE", "en", "en", "he")
LANGUAGES = [("en", _("English")), ("he", _("Hebrew"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

FILE_UPLOAD_HANDLERS = ["prosaasil.uploads.NoFiles"]

STATIC_URL = "/static/"
STATIC_ROOT = PROSAASIL_VAR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "prosaasil.static.HashedStaticFiles"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",  # first: a missing login is then 401, not 403
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["recordings.api.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "recordings.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "prosaasil",
    "DESCRIPTION": "Calls, their recordings, and the audio.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# The queue only rings (docs/adr/0002). `retry` must exceed `timeout` times every place a bell can wait in:
# retry > timeout * (1 + ceil((queue_limit + bulk) / workers)) + margin.
DRAINS = 2
Q_CLUSTER: dict[str, Any] = {
    "name": "prosaasil",
    "orm": "default",
    "broker_class": "recordings.broker.WakingBroker",
    "workers": DRAINS + 1,
    "queue_limit": 1,
    "bulk": 1,
    "poll": 0,
    "timeout": 1320,
    "retry": 2760,
    "guard_cycle": 1,
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,
    "recycle": None,
    "catch_up": False,
    "label": "django-q2",
}

RECORDINGS_ROOT = env.folder("RECORDINGS_ROOT", PROSAASIL_VAR / "recordings")
RECORDINGS_ALLOW_PRIVATE_HOSTS = env.hosts("RECORDINGS_ALLOW_PRIVATE_HOSTS")
RECORDINGS_MAX_BYTES = env.integer("RECORDINGS_MAX_BYTES", 500_000_000, 1_000, 10_000_000_000)
RECORDINGS_MIN_FREE_BYTES = env.integer("RECORDINGS_MIN_FREE_BYTES", 200_000_000, 0, 10**15)
RECORDINGS_DEADLINE = env.integer("RECORDINGS_DEADLINE", 600, 1, 600)
RECORDINGS_CONNECT_TIMEOUT = env.integer("RECORDINGS_CONNECT_TIMEOUT", 10, 1, 60)
RECORDINGS_READ_TIMEOUT = env.integer("RECORDINGS_READ_TIMEOUT", 30, 1, 300)
RECORDINGS_SLOTS = env.integer("RECORDINGS_SLOTS", 96, 4, 512)
# Of one account, unless it says otherwise: two thirds of the slots, so that no account has them all.
RECORDINGS_AT_ONCE = env.integer("RECORDINGS_AT_ONCE", max(1, RECORDINGS_SLOTS * 2 // 3), 1, 512)
RECORDINGS_BYTES_PER_SECOND = env.integer("RECORDINGS_BYTES_PER_SECOND", 0, 0, 10**12)  # of all; 0: no limit
RECORDINGS_MAX_RETRY_AFTER = env.integer("RECORDINGS_MAX_RETRY_AFTER", 900, 1, 86_400)
RECORDINGS_ACCEL = env.prefix("RECORDINGS_ACCEL")  # where nginx, the only way in then, finds RECORDINGS_ROOT

WEB_WORKERS = env.integer("WEB_WORKERS", 2, 1, 64)
WEB_THREADS = env.integer("WEB_THREADS", 192, 8, 2000)
WEB_SHORT_THREADS = min(32, WEB_THREADS // 4)  # kept for short answers while long ones wait

# Who is told of alarms: nobody needs to be, the log has them all.
ALARM_MAIL_TO = alarms.mail_addresses("ALARM_MAIL_TO")
globals().update(alarms.mail_server("EMAIL_URL", needed_by="ALARM_MAIL_TO"))  # EMAIL_HOST and its like
ALARM_MAIL_FROM = alarms.mail_address("ALARM_MAIL_FROM", f"prosaasil@{env.host_of(PUBLIC_URL)}")
ALARM_WEBHOOK = alarms.webhook("ALARM_WEBHOOK")
ALARM_WEBHOOK_TOKEN = alarms.token("ALARM_WEBHOOK_TOKEN")

LOG_FORMAT = env.choice("LOG_FORMAT", "console", "console", "json")
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", "DEBUG", "INFO", "WARNING", "ERROR")
LOGGING = logging_config(LOG_FORMAT, LOG_LEVEL)
