"""A MariaDB whose tables are in utf8mb3, which has no emoji: what cannot be kept is kept in ASCII."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from django.db import connection

from scheduled_tasks import operations
from scheduled_tasks.models import Status, TaskRun, TaskState
from scheduled_tasks.operations import Actor
from scheduled_tasks.recording import connection as connecting
from scheduled_tasks.recording import statements
from tests.factories import make_task
from tests.recording.runs import attempt, message, the_run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'mysql'", reason="the others know no such character set"),
]

TABLES = [model._meta.db_table for model in (TaskRun, TaskState)]
ANN = Actor("ann 🙂", lambda task, sentence: None)


@pytest.fixture(autouse=True)
def in_utf8mb3(db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_collation FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_name = %s",
            TABLES[:1],
        )
        (collation,) = cursor.fetchone()
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb3")
    connecting._has_every_character.cache_clear()
    yield
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")
    connecting._has_every_character.cache_clear()


def test_a_run_and_its_name() -> None:
    for name in ("job", "job 🙂"):
        sent = message()
        sent.header = replace(sent.header, name=name)
        statements.end(attempt(sent), statements.Ending(status=Status.FAILED, error="🙂"))
        run = the_run(sent)
        assert (run.status, run.error) == (Status.FAILED, "\\U0001f642")
        assert run.name == name.replace("🙂", "\\U0001f642")


def test_what_a_person_writes() -> None:
    task = make_task()
    run = operations.run_now(task.pk, actor=ANN, celery_id=str(uuid4()), args=["🙂"])
    assert (run.actor, run.args) == ("ann \\U0001f642", '["\\U0001f642"]')
    state = operations.disable(task.pk, actor=ANN, note="🙂").state
    assert TaskState.objects.get(pk=state.pk).pause_note == "\\U0001f642"
