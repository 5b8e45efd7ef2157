"""What the first migration does to the tasks that are there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.live import ROOT

SCRIPT = """
import django
django.setup()
from django.core.management import call_command
from django_celery_beat.models import IntervalSchedule, PeriodicTask
call_command("migrate", "django_celery_beat", verbosity=0)
hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
old = PeriodicTask.objects.create(name="old", task="shop.purge", interval=hourly)
call_command("migrate", verbosity=0)
new = PeriodicTask.objects.create(name="new", task="shop.purge", interval=hourly)
from scheduled_tasks.models import ScheduledTask
for name in ("old", "new"):
    state = ScheduledTask.objects.get(name=name).state
    print(name, state.is_as_before, state.effective_overlap.value)
"""


def test_tasks_that_are_there_run_as_before(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path}/site.sqlite3",
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["old True allow", "new False skip"]
