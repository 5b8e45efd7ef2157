"""``manage.py scheduled_tasks_doctor`` beside a real worker and beat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from scheduled_tasks.models import Process, ProcessKind
from tests.live import ROOT, Beat, Worker, wait_for


def doctor() -> tuple[int, list[dict[str, Any]]]:
    """Exit status and findings of a process of its own."""
    command = [sys.executable, "-m", "django", "scheduled_tasks_doctor", "--json"]
    told = subprocess.run(command, cwd=ROOT, env={**os.environ}, stdout=subprocess.PIPE, check=False)
    return told.returncode, json.loads(told.stdout)


def texts(found: list[dict[str, Any]], code: str) -> list[str]:
    return [finding["text"] for finding in found if finding["code"] == code]


def test_a_working_site_and_what_ends_it(worker: Worker, start_beat: Callable[..., Beat]) -> None:
    beat = start_beat()
    ticking = Process.objects.filter(kind=ProcessKind.BEAT, loop_at__isnull=False, broker_ok_at__isnull=False)
    wait_for(ticking.exists, message="a beat that ticks")
    wait_for(Process.objects.filter(node=worker.node).exists, message="the worker's heartbeat")
    status, found = doctor()
    assert [finding for finding in found if finding["level"] != "info"] == []
    assert status == 0
    beats, workers = (text for text in texts(found, "process"))
    assert beats.startswith("celerybeat@")
    assert workers.startswith(f"{worker.node} uses this database, reads from ")
    assert workers.endswith(" and serves celery.")

    beat.end()
    status, found = doctor()
    (finding,) = (finding for finding in found if finding["level"] != "info")
    assert (status, finding["code"]) == (1, "beat")
    assert finding["remedy"] == "celery -A example_project beat -S scheduled_tasks"

    # As if the worker wrote to another database.
    Process.objects.filter(node=worker.node).update(node="another@host")
    found = doctor()[1]
    assert any(worker.node in text and "another database" in text for text in texts(found, "worker"))
