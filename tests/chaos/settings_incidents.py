"""Settings of beats and workers whose ``ALERTS`` of "default" the environment holds, in JSON.

With ``DEATHS``, a directory, they are as hasty as ``tests.chaos.hasty`` makes them.
"""

import json
import os

from tests.chaos.settings import *  # noqa: F403
from tests.chaos.settings import CELERY_IMPORTS

SCHEDULED_TASKS = {"ALERTS": {"default": json.loads(os.environ["ALERTS"])}}
if os.environ.get("DEATHS"):
    CELERY_IMPORTS = [*CELERY_IMPORTS, "tests.chaos.impatient", "tests.chaos.hasty"]
