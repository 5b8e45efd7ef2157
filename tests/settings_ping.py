"""Settings of a beat that pings the address ``PING_URL`` of its environment, often."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import CELERY_IMPORTS, SCHEDULED_TASKS

SCHEDULED_TASKS = {**SCHEDULED_TASKS, "PING_URL": os.environ["PING_URL"]}
CELERY_IMPORTS = [*CELERY_IMPORTS, "tests.often_pinging"]
