"""The worker and beat that the other integration tests stand on really work, and leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from tests import tasks
from tests.live import PATIENCE, ROOT, Worker, wait_for

pytestmark = pytest.mark.smoke


def test_worker_runs_a_task(worker: Worker) -> None:
    assert tasks.add.delay(2, 3).get(timeout=PATIENCE) == 5


def test_worker_uses_the_database_of_the_run(worker: Worker) -> None:
    user = User.objects.create(username="anna")
    assert tasks.count_users.delay().get(timeout=PATIENCE) == 1
    user.delete()
    assert tasks.count_users.delay().get(timeout=PATIENCE) == 0


def test_worker_of_its_own_takes_only_its_own_queue(worker: Worker, start_worker) -> None:
    own = start_worker(pool="solo")
    assert tasks.hostname.apply_async(queue=own.queue).get(timeout=PATIENCE) == own.node
    assert tasks.hostname.delay().get(timeout=PATIENCE) == worker.node


def test_killed_worker_is_gone(start_worker) -> None:
    own = start_worker(concurrency=1)
    own.kill()
    assert not own.running
    wait_for(lambda: not group_exists(own.pid), message="the end of its children")


def test_task_due_later_is_seen_when_the_worker_settles(start_worker) -> None:
    own = start_worker(concurrency=1)
    sent = tasks.succeed_at_attempt.apply_async((2, 3600), queue=own.queue)
    wait_for(lambda: own.holds("scheduled") == [sent.id], message="the retry in the worker's hands")
    assert not own.settle()


def test_beat_sends_what_is_due(worker: Worker, start_beat) -> None:
    every_second, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="count users", task=tasks.count_users.name, interval=every_second)
    start_beat(options=["-S", "django_celery_beat.schedulers:DatabaseScheduler"])
    worker.wait_for_log(f"{tasks.count_users.name}[")


def test_kill_9_of_the_test_run_leaves_no_process(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from tests.guard import Guarded
        child = Guarded(["sh", "-c", "sleep 99 & sleep 99; true"], log=Path({str(tmp_path / "log")!r}))
        print(child.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    pid = int(subprocess.run(run, cwd=ROOT, stdout=subprocess.PIPE, check=False).stdout)
    wait_for(lambda: not group_exists(pid), message="the end of the guarded process group")


def group_exists(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
