"""A policy that code declares reaches the process that tells people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from scheduled_tasks import operations
from scheduled_tasks.models import Incident, Notice, ScheduledTask, Status, TaskRun, TaskState
from tests.live import ROOT, Worker, wait_for

ANNA = operations.Actor("anna", log=lambda task, entry: None)


def fail_once_more() -> None:
    task = ScheduledTask.objects.get(name="invoice-run")
    run = operations.run_now(task.pk, actor=ANNA, celery_id=str(uuid4()))
    wait_for(TaskRun.objects.filter(pk=run.pk, status=Status.FAILED).exists, message="the failure")


def test_the_owner_is_told_after_the_second_failure(
    start_worker: Callable[..., Worker], no_other_worker: None, tmp_path: Path
) -> None:
    file = tmp_path / "alerts"
    own = {"DJANGO_SETTINGS_MODULE": "tests.settings_owned", "ALERTS_FILE": str(file)}
    sync = [sys.executable, "manage.py", "sync_scheduled_tasks"]
    subprocess.run(sync, env={**os.environ, **own}, cwd=ROOT, check=True)
    assert TaskState.objects.filter(task__name="invoice-run", alert_after=2, owner="billing").exists()
    worker = start_worker(env=own)
    ScheduledTask.objects.filter(name="invoice-run").update(queue=worker.queue)

    def told() -> list[Any]:
        lines = file.read_text().splitlines() if file.exists() else []
        return [each for each in map(json.loads, lines) if "invoice-run" in dict(each["tasks"])]

    fail_once_more()
    failing = Incident.objects.filter(subject="invoice-run")
    wait_for(failing.filter(run_count=1).exists, message="the incident, which is below alert_after")
    assert not Notice.objects.filter(incidents__in=failing).exists()
    fail_once_more()
    wait_for(told, message="the alert")
    wait_for(Notice.objects.filter(incidents__in=failing, sent_at__isnull=False).exists, message="its note")
    assert told() == [
        {"heard by": "billing", "owner": "billing", "event": "opened", "tasks": [["invoice-run", 2]]}
    ]
