"""Settings of a worker that tells two owners, and looks for incidents all the time."""

from tests.settings import *  # noqa: F403
from tests.settings import CELERY_IMPORTS, SCHEDULED_TASKS

SCHEDULED_TASKS = {
    **SCHEDULED_TASKS,
    "ALERTS": {
        "default": ["tests.owned_tasks.tell_default"],
        "billing": ["tests.owned_tasks.tell_billing"],
    },
}
CELERY_IMPORTS = [*CELERY_IMPORTS, "tests.owned_tasks", "tests.often_looking"]
