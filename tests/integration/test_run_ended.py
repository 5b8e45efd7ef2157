"""Real workers tell of the ends they have written, by whatever process, each once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scheduled_tasks.models import Status
from tests import tasks
from tests.live import Worker, wait_for
from tests.run_rows import send, the_run


def heard(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_worker_tells_of_every_end(start_worker: Callable[..., Worker], tmp_path: Path) -> None:
    file = tmp_path / "ended"
    options = ["-I", "tests.ended_receivers"]
    worker = start_worker(env={"ENDED_FILE": str(file), "ENDED_WAIT": "0.2"}, options=options)
    sent = [send(tasks.add, 1, 2, queue=worker.queue) for _ in range(5)]
    sent.append(send(tasks.fail, queue=worker.queue))
    wait_for(lambda: len(heard(file)) >= 6, message="the signals")
    killed = send(tasks.die, queue=worker.queue)  # what its process has not told by then it never tells
    wait_for(lambda: len(heard(file)) >= 7, message="the signal of the main process")
    worker.stop()
    found = heard(file)
    assert {each["celery_id"]: each["status"] for each in found} == {
        **dict.fromkeys(sent[:5], "succeeded"),
        sent[5]: "failed",
        killed: the_run(killed).status,
    }
    assert len(found) == 7
    assert the_run(killed).status in (Status.LOST, Status.FAILED)
    assert len({each["pid"] for each in found}) > 1


def test_process_that_ends_tells_first(start_worker: Callable[..., Worker], tmp_path: Path) -> None:
    file = tmp_path / "ended"
    options = ["-I", "tests.ended_receivers", "--max-tasks-per-child", "1"]
    worker = start_worker(env={"ENDED_FILE": str(file), "ENDED_WAIT": "0.1"}, options=options)
    sent = {send(tasks.add, 1, 2, queue=worker.queue) for _ in range(4)}
    wait_for(lambda: {each["celery_id"] for each in heard(file)} == sent, message="the signals")
