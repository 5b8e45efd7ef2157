"""A task that runs once is disabled by beat as it starts: its trouble is told like any other's."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django_celery_beat.models import ClockedSchedule

from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import Closing, Incident, PausedBy, ScheduledTask, Status, TaskState, database_now
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db


def make_ended(**state: object) -> ScheduledTask:
    """A task whose only time is past."""
    row = ClockedSchedule.objects.create(clocked_time=database_now() - timedelta(minutes=1))
    task = make_task(cron=None, clocked=row, one_off=True, enabled=False)
    TaskState.objects.update_or_create(task_id=task.pk, defaults=state)
    return task


def test_its_failure_is_an_incident_until_a_retry_succeeds(watching: Watcher) -> None:
    task = make_ended()
    make_run(task, Status.FAILED)
    for _ in range(2):
        watching.look()
    incident = Incident.objects.get()
    assert (incident.kind, incident.task_id, incident.is_open) == ("failing", task.pk, True)
    make_run(task)
    watching.look()
    assert Incident.objects.get().closing == Closing.RECOVERED


def test_nobody_is_told_once_a_person_has_disabled_it(watching: Watcher) -> None:
    task = make_ended(paused_by=PausedBy.OPERATOR)
    make_run(task, Status.FAILED)
    watching.look()
    assert not Incident.objects.exists()


def test_disabling_it_closes_the_incident(watching: Watcher) -> None:
    task = make_ended()
    make_run(task, Status.FAILED)
    watching.look()
    TaskState.objects.filter(task_id=task.pk).update(paused_by=PausedBy.OPERATOR)
    watching.look()
    assert Incident.objects.get().closing == Closing.PAUSED
