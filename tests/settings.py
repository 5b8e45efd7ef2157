"""The example site's settings for a test run; its own worker and beat processes use them too.

The database named by ``DATABASE_URL`` is made for the run and dropped after it: see ``tests/plugin.py``.
"""

from importlib.util import find_spec

from example_project.settings import *  # noqa: F403
from example_project.settings import (
    CELERY_BROKER_URL,
    DATABASES,
    INSTALLED_APPS,
    MIDDLEWARE,
    SCHEDULED_TASKS,
)

DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [*INSTALLED_APPS, "django_htmx"]  # an htmx for tests/e2e/test_other_htmx.py
MIDDLEWARE = [*MIDDLEWARE, "tests.csp.strict"]
DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"]}
SCHEDULED_TASKS = {**SCHEDULED_TASKS, "ALERTS": {}, "SITE_URL": None}  # a test names its own channels
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_IMPORTS = ["tests.tasks", "tests.typed_tasks"]
if find_spec("celery_singleton"):
    CELERY_IMPORTS += ["tests.singleton_tasks"]
if CELERY_BROKER_URL.startswith("amqp"):
    CELERY_RESULT_BACKEND = "rpc://"
