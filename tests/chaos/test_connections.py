"""The ways in which projects connect to their database, each with a real worker."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection  # noqa: F401 - for the conditions of skipif

from example_project import broker
from scheduled_tasks.models import Process, Status, TaskRun
from tests import embedded, tasks
from tests.chaos import servers
from tests.chaos.proxy import Proxy
from tests.live import ROOT, Worker, wait_for
from tests.run_rows import ended, send

Start = Callable[..., Worker]

only_postgres = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only for PostgreSQL")


def send_some_of_each(queue: str, times: int = 1) -> dict[str, Status]:
    """Send tasks of several kinds; the Celery ids and how their runs must end."""
    sent: dict[str, Status] = {}
    for number in range(times):
        sent[send(tasks.add, 1, number, queue=queue)] = Status.SUCCEEDED
        sent[send(tasks.count_users, queue=queue)] = Status.SUCCEEDED
        sent[send(tasks.succeed_at_attempt, 2, queue=queue)] = Status.SUCCEEDED
        sent[send(tasks.fail, queue=queue)] = Status.FAILED
        sent[send(tasks.ignore, queue=queue)] = Status.IGNORED
        sent[send(tasks.break_transaction, queue=queue)] = Status.SUCCEEDED
    return sent


def all_end_well(sent: dict[str, Status]) -> bool:
    found = {celery_id: ended(celery_id) for celery_id in sent}
    assert {celery_id: run.status for celery_id, run in found.items()} == sent
    assert {run.reason for run in found.values() if run.status == Status.SUCCEEDED} == {""}
    return True


@pytest.fixture
def home() -> Iterator[Path]:
    with servers.public_directory() as directory:
        yield directory


@pytest.fixture
def pgbouncer(transactional_db: None, home: Path) -> Iterator[str]:
    """A database address by way of a PgBouncer in transaction mode that has two connections for everybody."""
    # Debian keeps it where only root's PATH leads.
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("there is no pgbouncer on this machine")
    with servers.own_postgres(home) as place:
        parts, port = urlsplit(place.url), broker.free_port()
        config = home / "pgbouncer.ini"
        config.write_text(
            dedent(f"""\
            [databases]
            * = host=127.0.0.1 port={parts.port} user={parts.username}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            default_pool_size = 2
            """)
        )
        command = [*embedded.unprivileged(), program, str(config)]
        pooler = embedded.Server(command, log=home / "pgbouncer.log", answers=lambda: listens(port))
        yield parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()
        pooler.stop()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@only_postgres
def test_pgbouncer_in_transaction_mode(pgbouncer: str, start_impatient: Start) -> None:
    own = start_impatient(env={"DATABASE_URL": pgbouncer}, concurrency=4)
    sent = send_some_of_each(own.queue, times=5)
    all_end_well(sent)
    assert "prepared statement" not in own.output()


@only_postgres
def test_pool_of_djangos(start_impatient: Start) -> None:
    own = start_impatient(env={"DATABASE_POOL": "1"}, concurrency=2)
    all_end_well(send_some_of_each(own.queue, times=3))
    own.signal(signal.SIGTERM)
    wait_for(lambda: not own.running, message="the worker's end")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_without_a_connection_of_the_recorders_own(pool: str, start_impatient: Start) -> None:
    own = start_impatient(env={"OWN_CONNECTION": "0"}, pool=pool, concurrency=2)
    all_end_well(send_some_of_each(own.queue))
    left_open = send(tasks.write_and_leave_open, "left-open", queue=own.queue)
    assert ended(left_open).status == Status.SUCCEEDED
    assert not User.objects.filter(username="left-open").exists()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_tasks_that_run_an_event_loop(pool: str, start_impatient: Start) -> None:
    # Django's guard against its use from an event loop must be as strict as in any project.
    own = start_impatient(env={"DJANGO_ALLOW_ASYNC_UNSAFE": ""}, pool=pool, concurrency=2)
    ids = [send(tasks.work_in_a_loop, f"loop {number}", own.queue, queue=own.queue) for number in range(6)]
    found = [ended(celery_id) for celery_id in ids]
    assert [(run.status, run.error) for run in found] == [(Status.SUCCEEDED, "")] * len(ids)
    assert {run.progress_data["done"] for run in found} == {2}
    inner = TaskRun.objects.filter(name__startswith="loop ")
    wait_for(lambda: inner.filter(status=Status.SUCCEEDED).count() == len(ids), message="the tasks they sent")
    assert "SynchronousOnlyOperation" not in own.output()


def test_router_that_keeps_runs_elsewhere(start_impatient: Start) -> None:
    own = start_impatient(env={"ROUTED": "1"}, concurrency=2)
    sent = {
        send(tasks.add, 1, 1, queue=own.queue): Status.SUCCEEDED,
        send(tasks.fail, queue=own.queue): Status.FAILED,
        # "default" has no tables, so that tasks of the project's own models show that the router works.
        send(tasks.count_users, queue=own.queue): Status.FAILED,
    }
    all_end_well(sent)
    assert Process.objects.filter(node=own.node).exists()


@pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="SQLite has no server to give connections back to"
)
def test_idle_connections_go_back(start_impatient: Start, database_door: Proxy) -> None:
    own = start_impatient(env={"DATABASE_URL": database_door.url}, concurrency=3)
    ids = [send(tasks.wait, 0.5, queue=own.queue) for _ in range(6)]
    wait_for(lambda: database_door.connections > 1, message="connections of the pool's processes")
    for celery_id in ids:
        assert ended(celery_id).status == Status.SUCCEEDED
    # The main process goes on to say that it lives.
    wait_for(lambda: database_door.connections == 1, message="the return of the connections")
    assert ended(send(tasks.add, 1, 1, queue=own.queue)).status == Status.SUCCEEDED


EAGER = """
import django
django.setup()
from django.db import transaction
from example_project.celery import app
from tests import tasks

def run(name, task=tasks.add, args=(1, 1)):
    task.apply(args, task_id=name, headers={"scheduled_tasks": {"name": name}})

class Undone(Exception):
    pass

run("plain")
run("failed", tasks.fail, ())
with transaction.atomic():
    run("kept")
    run("failed inside", tasks.fail, ())
try:
    with transaction.atomic():
        run("undone")
        raise Undone
except Undone:
    pass
"""


def test_eager_tasks_share_the_callers_transaction(transactional_db: None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EAGER],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.chaos.settings"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert dict(TaskRun.objects.values_list("celery_id", "status")) == {
        "plain": Status.SUCCEEDED,
        "failed": Status.FAILED,
        "kept": Status.SUCCEEDED,
        "failed inside": Status.FAILED,
    }
