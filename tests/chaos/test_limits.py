"""A PostgreSQL at its limits: statements that time out, no connection left for this app, a full disk."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.models import Overlap, Status, TaskRun, TaskState
from tests import tasks
from tests.chaos import servers
from tests.chaos.servers import Place
from tests.integration.test_beat import no_other_jobs, succeeded
from tests.integration.test_beat_outages import accounted_to_the_last, runs_after
from tests.live import Beat, Worker, wait_for
from tests.run_rows import ended

__all__ = ["no_other_jobs"]

SECONDS = 8.0
DISK = "400m"


@contextmanager
def statements_time_out(url: str) -> Iterator[None]:
    """Somebody locks the table of runs, and nobody waits longer than a moment."""
    with psycopg.connect(url, autocommit=True) as server, psycopg.connect(url) as locker:
        locker.execute("SET statement_timeout = 0")
        server.execute("ALTER SYSTEM SET statement_timeout = '300ms'")
        server.execute("SELECT pg_reload_conf()")
        locker.execute(f"LOCK TABLE {TaskRun._meta.db_table} IN ACCESS EXCLUSIVE MODE")
        yield
        locker.rollback()
        server.execute("ALTER SYSTEM RESET statement_timeout")
        server.execute("SELECT pg_reload_conf()")


@contextmanager
def no_connection_is_left(url: str) -> Iterator[None]:
    """Others take every connection, those of this app too."""
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("ALTER ROLE app CONNECTION LIMIT 0")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        yield
        server.execute("ALTER ROLE app CONNECTION LIMIT -1")


def address_of_an_ordinary_role(url: str) -> str:
    """A superuser knows no limits."""
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("CREATE ROLE app LOGIN")
        server.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO app")
        server.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app")
    return url.replace("postgres@", "app@")


@pytest.mark.parametrize("trouble", [statements_time_out, no_connection_is_left])
def test_limits_lose_no_end_and_no_tick(
    trouble: Callable[[str], object],
    postgres: Place,
    no_other_jobs: None,
    start_impatient: Callable[..., Worker],
    start_beat: Callable[..., Beat],
) -> None:
    env = {"DATABASE_URL": address_of_an_ordinary_role(postgres.url)}
    own = start_impatient(env=env)
    second = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    job = PeriodicTask.objects.create(name="add", task=tasks.add.name, args="[1, 2]", interval=second)
    PeriodicTask.objects.filter(pk=job.pk).update(queue=own.queue)
    TaskState.objects.create(task_id=job.pk, overlap=Overlap.ALLOW)
    beat = start_beat(env=env)
    wait_for(lambda: succeeded(job, 2), message="runs before")
    newest = TaskRun.objects.latest("id")
    connection.close()
    with ExitStack() as stack:
        stack.enter_context(trouble(postgres.url))  # type: ignore[arg-type]
        began = time.monotonic()
        celery_id = tasks.fail.apply_async(
            ("as meant",), queue=own.queue, headers={"periodic_task_name": "by hand"}
        ).id
        time.sleep(SECONDS - (time.monotonic() - began))
    wait_for(lambda: runs_after(newest), message="runs after")
    assert ended(celery_id).status == Status.FAILED
    assert beat.running
    beat.stop()
    assert "Beat waits for the database" in beat.output()
    assert "Traceback" not in beat.output()
    assert not TaskRun.objects.filter(attempts__gt=1).exists()
    assert accounted_to_the_last(job)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own."""
    with servers.public_directory() as home:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=711", "tmpfs", home],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            pytest.skip(f"cannot mount a file system: {mounted.stderr.strip()}")
        yield home
        subprocess.run(["umount", "--lazy", home], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 65536):
            pass
    return filler


def test_a_full_disk_loses_no_end(
    small_disk: Path, transactional_db: None, start_impatient: Callable[..., Worker]
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs a PostgreSQL of its own")
    with servers.own_postgres(small_disk) as place:
        worker = start_impatient(env={"DATABASE_URL": place.url})
        filler = fill(small_disk)
        connection.close()
        long = "x" * 30_000  # more than fits into the space that its tables have already
        headers = {"periodic_task_name": "by hand"}
        ids = []
        for _ in range(20):
            ids.append(tasks.fail.apply_async((long,), queue=worker.queue, headers=headers).id)
            time.sleep(0.2)
        assert "No space left on device" in (small_disk / "postgres.log").read_text()
        filler.unlink()
        failed = TaskRun.objects.filter(celery_id__in=ids, status=Status.FAILED, error=long)
        wait_for(lambda: failed.count() == len(ids), message="every end")
        assert not TaskRun.objects.filter(attempts__gt=1).exists()
        connection.close()
