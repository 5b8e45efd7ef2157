"""Settings of the example site.

Everything it writes lies in one directory, ``.demo`` beside ``manage.py``. These variables of the environment
point it elsewhere:

- ``DATABASE_URL``: another database, for example ``postgres://user:password@host/name``.
- ``CELERY_BROKER_URL`` or ``REDIS_URL``: another broker. ``manage.py demo`` starts one of its own otherwise.
- ``DEMO_DIR``: another data directory.
- ``SINGLE_TENANT``: ``0`` makes the site a multi-tenant installation (see ``example_project/access.py``).
- ``SCHEDULED_TASKS_PAUSED``: ``1`` keeps beat from starting anything, as on a staging site.
- ``SITE_URL``: where the site itself is reached; ``manage.py demo`` sets it.
- ``EXCHANGE_RATES_URL``: another source of exchange rates; the one here is missing at first, on purpose.
"""

import contextlib
import os
from pathlib import Path

import dj_database_url

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("DEMO_DIR", BASE_DIR / ".demo")).absolute()

SECRET_KEY = "for this demonstration only: a real site keeps its key secret"
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
SITE_URL = os.environ.get("SITE_URL", "http://127.0.0.1:8000")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "scheduled_tasks",
    "example_project",
    "example_project.governance",
    "example_project.consent",
    "example_project.webhooks",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

DATABASES = {
    "default": dj_database_url.parse(os.environ.get("DATABASE_URL") or f"sqlite:///{DATA_DIR / 'db.sqlite3'}")
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Web, worker and beat write at the same time. With SQLite's own defaults about half of such writes fail
    # with "database is locked"; with these they wait for one another.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    # A file, because a test database in memory cannot be seen by a worker process.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
    # `manage.py demo` says why when this fails.
    with contextlib.suppress(OSError):
        DATA_DIR.mkdir(parents=True, exist_ok=True)

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("fr", "Français"), ("es", "Español")]
USE_I18N = True
USE_TZ = True
# "Daily at 3 AM" means the operators' 3 AM; a zone whose clocks change also shows what the page does on those
# days.
TIME_ZONE = "Europe/Paris"

STATIC_URL = "static/"
MEDIA_ROOT = DATA_DIR / "files"
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = DATA_DIR / "mail"
DEFAULT_FROM_EMAIL = "example site <site@example.com>"

CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "scheduled_tasks.beat:Scheduler"
# Without a broker, messages stay in the memory of the process that sends them.
CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL") or os.environ.get("REDIS_URL") or "memory://"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A worker that is killed holds few messages besides those it runs.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
if CELERY_BROKER_URL.startswith("redis"):
    CELERY_RESULT_BACKEND = CELERY_BROKER_URL
    # What a killed worker held comes back after this many seconds; it must exceed every countdown of a retry.
    CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600}

SCHEDULED_TASKS = {
    # This site's own rule. Without this line the default holds: superusers, and whoever has the permissions
    # "Can view", "Can change" and "Can run scheduled task now".
    "ACCESS_POLICY": "example_project.access.administers_jobs",
    # Who is told of trouble. The mail lies in EMAIL_FILE_PATH.
    "ALERTS": {
        "default": ["mailto:operators@example.com"],
        "integrations": ["mailto:integrations@example.com"],
    },
    "SITE_URL": SITE_URL,
    # As on a staging site: beat starts nothing.
    "PAUSED": os.environ.get("SCHEDULED_TASKS_PAUSED") == "1",
}

# The site's own settings.
SINGLE_TENANT = os.environ.get("SINGLE_TENANT", "1") == "1"
# `manage.py demo` begins without this file, on purpose: one job of this site fails, says why and opens an
# incident. The job rates-source-repair writes the file.
EXCHANGE_RATES_FILE = DATA_DIR / "rates.json"
EXCHANGE_RATES_URL = os.environ.get("EXCHANGE_RATES_URL") or EXCHANGE_RATES_FILE.as_uri()
WEBHOOK_URL = f"{SITE_URL}/webhooks/sink/"
# How often the subscriber of the webhooks is too busy to take one, 0 to 1.
WEBHOOK_REFUSAL_RATE = 0.3
