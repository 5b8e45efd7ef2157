"""Real workers: a run whose task replaces itself goes on, and ends, with what replaces it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.reasons import Code
from tests import tasks
from tests.live import Worker, wait_for
from tests.run_rows import ended, send, the_run
from tests.versions import CELERY_57


@pytest.mark.parametrize(
    ("kind", "summary"),
    [("chain", "6"), ("group", "'[3, 7]'"), ("chord with a chain", "7"), ("nested", "10"), ("retrying", "3")],
)
def test_canvas_that_succeeds(kind: str, summary: str, worker: Worker) -> None:
    run = ended(send(tasks.hand_on_to, kind))
    assert (run.status, run.reason, run.error) == (Status.SUCCEEDED, "", "")
    assert run.summary_data.strip("'") == summary.strip("'")
    assert TaskRun.objects.get() == run


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("failing chain", "the first"),
        ("failing end", "the last, with 3"),
        ("failing group", "in a group"),
        *([("failing inside", "inside")] if CELERY_57 else []),
        ("failing nested", "the first"),
    ],
)
def test_canvas_of_which_a_task_fails(kind: str, error: str, worker: Worker) -> None:
    run = ended(send(tasks.hand_on_to, kind))
    assert (run.status, run.error_type, run.error) == (Status.FAILED, "ValueError", error)
    assert "raise ValueError" in run.traceback
    assert TaskRun.objects.get() == run


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("ignored", {Status.IGNORED}),
        ("rejected", {Status.FAILED}),
        ("killed", {Status.LOST}),
        ("timed out", {Status.TIMED_OUT}),
    ],
)
def test_canvas_that_ends_otherwise(kind: str, statuses: set[Status], worker: Worker) -> None:
    assert ended(send(tasks.hand_on_to, kind)).status in statuses


@pytest.mark.parametrize("kind", ["group after a chord", *([] if CELERY_57 else ["failing inside"])])
def test_canvas_of_which_no_task_has_the_id_of_the_run(kind: str, worker: Worker) -> None:
    run = ended(send(tasks.hand_on_to, kind))
    assert (run.status, run.reason, run.attempts) == (Status.IGNORED, Code.CONTINUED, 1)


def test_run_goes_on_with_its_replacement(worker: Worker, tmp_path: Path) -> None:
    celery_id = send(tasks.hand_on_to, "waiting", str(tmp_path / "done"), expires=60)
    wait_for(lambda: the_run(celery_id).reason, message="the replacement")
    wait_for(lambda: the_run(celery_id).process_id, message="the start of its first task")
    run = the_run(celery_id)
    assert (run.status, run.is_open, run.attempts) == (Status.RUNNING, True, 1)
    (tmp_path / "done").touch()
    run = ended(celery_id)
    assert (run.status, run.summary_data, run.attempts) == (Status.SUCCEEDED, "3", 2)


def test_canvas_sent_beside_the_run_does_not_end_it(worker: Worker) -> None:
    run = ended(send(tasks.send_a_failing_canvas))
    assert (run.status, run.error) == (Status.SUCCEEDED, "")
