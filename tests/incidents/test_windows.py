"""A task in a maintenance window is no incident because it does not run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import Incident, MaintenanceWindow, Status, database_now
from tests.factories import make_run, make_task
from tests.incidents.conftest import TestClock
from tests.incidents.test_policy import settle
from tests.models.test_maintenance import late_task, window

pytestmark = pytest.mark.django_db


def test_no_incident_begins_or_recovers_in_a_window(watching: Watcher, clock: TestClock) -> None:
    settle(watching, clock)
    late, missed = late_task("late"), make_task("missed")
    make_run(missed, Status.MISSED, ago=2)
    made = window()
    watching.look()
    assert not Incident.objects.exists()
    MaintenanceWindow.objects.filter(pk=made.pk).delete()
    watching.look()
    assert {each.task_id for each in Incident.objects.open()} == {late.pk, missed.pk}
    window()
    watching.look()
    assert Incident.objects.open().count() == 2


def test_the_end_of_a_window_is_looked_at(watching: Watcher, clock: TestClock) -> None:
    settle(watching, clock)
    make_run(make_task(), Status.EXPIRED, ago=2)  # a look goes back two minutes, and the clock is ahead
    made = window()
    watching.turn()
    MaintenanceWindow.objects.filter(pk=made.pk).update(ends_at=database_now() - timedelta(seconds=1))
    watching.turn()
    assert Incident.objects.open().count() == 1
