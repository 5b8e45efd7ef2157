"""A process that sends what is due: ``python -m tests.alerts.sending_process HOLDER``.

The variable ``ALERTS`` holds its setting of that name in JSON. Claims lapse after two seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import Error, connections  # noqa: E402

from scheduled_tasks.alerts import sender as sending  # noqa: E402

if __name__ == "__main__":
    settings.SCHEDULED_TASKS = {"ALERTS": json.loads(os.environ["ALERTS"])}
    sending.CLAIMED_FOR = timedelta(seconds=2)
    sender = sending.Sender(sys.argv[1])
    while True:
        try:
            sender.turn()
        except Error as error:
            print(error, flush=True)
            connections.close_all()
        time.sleep(0.2)
