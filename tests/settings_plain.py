"""A worker of another codebase on the same broker: it has the tasks, but not this app."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [app for app in INSTALLED_APPS if app.startswith("django.")]
ROOT_URLCONF = "tests.urls_plain"
CELERY_IMPORTS = ["tests.plain_tasks"]
CELERY_TASK_IGNORE_RESULT = not os.environ.get("PLAIN_RESULTS")
