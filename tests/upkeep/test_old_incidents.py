"""Incidents that were closed long ago go with their notices, whatever the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from scheduled_tasks.models import Incident, Notice, Status, TaskRun, database_now
from scheduled_tasks.upkeep import old_incidents, retention
from scheduled_tasks.upkeep.retention import Pruning
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

DAY = 86_400


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(retention.PAUSE, connection.vendor, 0)


def make_incident(
    name: str = "other", *, closed: float | None = 91, notices: int = 1, **values: Any
) -> Incident:
    """An incident that was closed so many days ago, None while it is open, and told so often."""
    now = database_now()
    closed_at = None if closed is None else now - timedelta(days=closed)
    opened_at = (closed_at or now - timedelta(days=200)) - timedelta(hours=1)
    incident = Incident.objects.create(
        kind="beat",
        key=f"beat:{name}",
        open_key=None if closed_at else f"beat:{name}",
        opened_at=opened_at,
        last_seen_at=opened_at,
        closed_at=closed_at,
        **values,
    )
    for _ in range(notices):
        make_notice(incident)
    return incident


def make_notice(*incidents: Incident, **values: Any) -> Notice:
    """A notice that was sent as soon as the first of the incidents opened."""
    moment = incidents[0].opened_at
    notice = Notice.objects.create(event="opened", created_at=moment, state="sent", **values)
    notice.incidents.set(incidents)
    return notice


def incidents() -> list[int]:
    return list(Incident.objects.order_by("pk").values_list("pk", flat=True))


def test_incidents_go_with_their_notices_and_open_ones_stay() -> None:
    make_incident(notices=2)
    young = make_incident(closed=89)
    still_open = make_incident("open", closed=None)
    assert retention.prune(dry_run=True)[Incident] == 1
    assert len(incidents()) == 3
    assert retention.prune() == {TaskRun: 0, Incident: 1, Notice: 2}
    assert incidents() == [young.pk, still_open.pk]
    assert Notice.incidents.through.objects.count() == Notice.objects.count() == 2
    connection.check_constraints()


def test_notice_of_several_incidents_goes_with_the_last() -> None:
    old, young = make_incident(notices=0), make_incident(closed=80, notices=0)
    notice = make_notice(old, young)
    assert retention.prune() == {TaskRun: 0, Incident: 1, Notice: 0}
    assert list(notice.incidents.all()) == [young]
    Incident.objects.update(opened_at=old.opened_at, closed_at=old.closed_at)
    assert retention.prune() == {TaskRun: 0, Incident: 1, Notice: 1}


def test_incident_of_which_something_is_still_to_be_told_stays() -> None:
    incident = make_incident()
    make_notice(incident, due_at=database_now())
    assert retention.prune()[Incident] == 0
    Notice.objects.update(due_at=None)
    assert retention.prune() == {TaskRun: 0, Incident: 1, Notice: 2}


@pytest.mark.parametrize(("closed", "stays"), [(0.9, True), (1.1, False)])
def test_closed_incident_stays_for_a_day_at_least(settings: Any, closed: float, stays: bool) -> None:
    settings.SCHEDULED_TASKS = {"RETENTION": timedelta(minutes=1)}
    make_incident(closed=closed)
    retention.prune()
    assert Incident.objects.exists() == stays


def test_incidents_in_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_incidents, "AT_ONCE", 3)
    for _ in range(10):
        make_incident()
    pruning = Pruning()
    assert not pruning.run(seconds=0)
    assert len(incidents()) == 7
    assert pruning.run()
    assert pruning.counts == {TaskRun: 0, Incident: 10, Notice: 10}
    assert not Notice.incidents.through.objects.exists()


def test_an_incident_outlives_its_runs() -> None:
    task = make_task()
    first, last = make_run(task, Status.FAILED, ago=120 * DAY), make_run(task, Status.FAILED, ago=100 * DAY)
    incident = make_incident(closed=None, first_run=first, last_run=last)
    assert retention.prune()[TaskRun] == 1
    incident = Incident.objects.select_related("first_run", "last_run").get(pk=incident.pk)
    assert (incident.first_run, incident.first_run_id, incident.last_run) == (None, first.pk, last)
