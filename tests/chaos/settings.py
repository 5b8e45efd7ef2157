"""As ``tests.settings``; what a killed worker held comes back after seconds instead of minutes.

``OWN_CONNECTION=0`` in the environment sets the setting of that name, ``RESULT_BACKEND`` is the address of a
result backend other than the broker.
"""

import os

from tests.settings import *  # noqa: F403

CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 8, "unacked_restore_interval": 1}
SCHEDULED_TASKS = {"OWN_CONNECTION": os.environ.get("OWN_CONNECTION") != "0"}
if os.environ.get("RESULT_BACKEND"):
    CELERY_RESULT_BACKEND = os.environ["RESULT_BACKEND"]
