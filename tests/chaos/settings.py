"""As ``tests.settings``; what a killed worker held comes back after seconds instead of minutes.

The environment changes more: ``OWN_CONNECTION=0`` sets the setting of that name, ``RESULT_BACKEND`` is the
address of a result backend other than the broker, ``DATABASE_POOL=1`` has Django pool its connections, and
``ROUTED=1`` keeps the scheduler's tables in a database "jobs", while "default" is an empty file.
``SOFT_SHUTDOWN`` is how many seconds a soft shutdown lasts.
"""

import os

from tests.settings import *  # noqa: F403
from tests.settings import DATA_DIR, DATABASES

CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 8, "unacked_restore_interval": 1}
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = float(os.environ.get("SOFT_SHUTDOWN", "0"))
SCHEDULED_TASKS = {"OWN_CONNECTION": os.environ.get("OWN_CONNECTION") != "0"}
if os.environ.get("RESULT_BACKEND"):
    CELERY_RESULT_BACKEND = os.environ["RESULT_BACKEND"]
if os.environ.get("DATABASE_POOL"):
    DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 2}}
if os.environ.get("ROUTED"):
    empty = {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "empty.sqlite3"}
    DATABASES = {"default": empty, "jobs": DATABASES["default"]}
    DATABASE_ROUTERS = ["tests.chaos.router.Router"]
