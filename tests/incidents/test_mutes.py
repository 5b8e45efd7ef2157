"""Nobody is told of what is muted, for as long as that holds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduled_tasks.incidents.notices import Untold
from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import Incident, Status, TaskState
from tests.alerts.rows import why
from tests.factories import make_run, make_task
from tests.incidents.conftest import TestClock
from tests.incidents.test_notices import events, fail_and_recover, look_for

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("minutes", [0, 30])
def test_muted_for_a_while(watching: Watcher, clock: TestClock, minutes: int) -> None:
    """Nothing is told meanwhile, not even the end; what still lasts afterwards is told."""
    TaskState.objects.create(task_id=(task := make_task()).pk, alert_after=2)
    make_run(task, Status.FAILED)
    watching.look()
    Incident.objects.update(muted_until=clock.now() + timedelta(minutes=minutes))
    make_run(task, Status.FAILED)
    clock.move(seconds=1)
    watching.look()
    if minutes:
        assert events() == []
        assert why(Incident.objects.get()) == Untold.MUTED
        look_for(watching, clock, minutes)
    assert events() == ["opened"]
    Incident.objects.update(muted_until=clock.now() + timedelta(minutes=5))
    make_run(task)
    watching.look()
    assert events() == ["opened"]


def test_muted_until_resolved(watching: Watcher, clock: TestClock) -> None:
    """The end is not told; a new trouble is."""
    task = make_task()
    fail_and_recover(watching, clock, task)
    clock.move(hours=2)
    now = clock.now()
    make_run(task, Status.FAILED, finished_at=now)
    watching.look()
    Incident.objects.open().update(muted_for_good=True)
    make_run(task)
    watching.look()
    assert events() == ["opened", "closed", "opened"]
    clock.move(hours=2)
    make_run(task, Status.FAILED)
    watching.look()
    assert events() == ["opened", "closed", "opened", "opened"]
    assert not Incident.objects.open().get().muted_for_good


def test_a_mute_outlives_the_trouble_that_was_muted(watching: Watcher, clock: TestClock) -> None:
    task = make_task()
    make_run(task, Status.FAILED)
    watching.look()
    until = clock.now() + timedelta(hours=5)
    Incident.objects.update(muted_until=until, muted_by="ann")
    make_run(task)
    watching.look()
    for _ in range(2):
        clock.move(hours=2)
        fail_and_recover(watching, clock, task)
    assert events() == ["opened"]
    assert list(Incident.objects.values_list("muted_until", "muted_by")) == [(until, "ann")] * 3
    clock.move(hours=2)
    make_run(task, Status.FAILED)
    watching.look()
    assert events() == ["opened", "opened"]
    assert Incident.objects.open().get().muted_until is None


def test_what_was_unmuted_stays_so(watching: Watcher, clock: TestClock) -> None:
    """An earlier incident is muted still; the last word counts."""
    task = make_task()
    make_run(task, Status.FAILED)
    watching.look()
    Incident.objects.update(muted_until=clock.now() + timedelta(hours=9))
    make_run(task)
    watching.look()
    clock.move(hours=2)
    make_run(task, Status.FAILED)
    watching.look()
    Incident.objects.open().update(muted_until=None)
    watching.look()
    make_run(task)
    watching.look()
    assert events() == ["opened", "opened", "closed"]
    clock.move(hours=2)
    make_run(task, Status.FAILED)
    watching.look()
    assert events() == ["opened", "opened", "closed", "opened"]
