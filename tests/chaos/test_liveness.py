"""Nobody alive is called dead because the database was away: neither who ran a task nor who looked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from scheduled_tasks.models import Process, Status, database_now
from tests import tasks
from tests.chaos.proxy import Proxy
from tests.live import Worker, wait_for
from tests.run_rows import ended, running, send, the_run

OUTAGE = 15.0
"""Seconds: longer than an impatient worker takes to call another one dead."""


def test_outage_of_the_database(
    start_impatient: Callable[..., Worker], database_door: Proxy, tmp_path: Path
) -> None:
    behind = {"DATABASE_URL": database_door.url}
    own = start_impatient(env=behind, concurrency=1)
    witness = start_impatient(env=behind, pool="solo")
    celery_id = send(tasks.wait_for_file, str(tmp_path / "done"), queue=own.queue)
    running(celery_id)
    database_door.refuse()
    time.sleep(OUTAGE)
    database_door.restore()
    restored = database_now()

    def judged() -> bool:
        assert the_run(celery_id).status == Status.RUNNING
        seen = Process.objects.get(node=witness.node).last_seen_at
        return (seen - restored).total_seconds() > OUTAGE

    wait_for(judged, message="the witness's judgement")
    (tmp_path / "done").touch()
    assert ended(celery_id).status == Status.SUCCEEDED
