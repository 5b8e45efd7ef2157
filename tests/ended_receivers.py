"""A worker or beat that includes this module writes each ``run_ended`` to the file ``ENDED_FILE``."""

import json
import os
import time

from scheduled_tasks.signals import run_ended


def write(sender, run_id, status, duration, **arguments):
    line = {"sender": sender.__name__, "run_id": run_id, "status": status, "pid": os.getpid(), **arguments}
    del line["signal"]
    with open(os.environ["ENDED_FILE"], "a") as file:
        file.write(
            json.dumps({**line, "took": None if duration is None else duration.total_seconds()}) + "\n"
        )


def fail(**arguments):
    raise RuntimeError("a receiver is broken")


def wait(**arguments):
    time.sleep(float(os.environ.get("ENDED_WAIT", "0")))


run_ended.connect(fail)
run_ended.connect(write)
run_ended.connect(wait)
