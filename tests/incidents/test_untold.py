"""Why nobody was told of an incident: one line for each open one, and few statements for many."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.incidents.notices import Untold
from scheduled_tasks.incidents.untold import why_untold
from scheduled_tasks.models import Incident, NoticeState, TaskState, database_now
from tests.alerts.rows import make_incident, make_notice, why

pytestmark = pytest.mark.django_db
OPS = "mailto:ops@example.com"


@pytest.fixture(autouse=True)
def channel(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {**settings.SCHEDULED_TASKS, "ALERTS": {"default": [OPS], "nobody": []}}


def past(incident: Incident, *, ago: float, lasted: float = 10) -> Incident:
    """An earlier incident of the same trouble."""
    opened = database_now() - timedelta(seconds=ago)
    return Incident.objects.create(
        kind=incident.kind,
        key=incident.key,
        task_id=incident.task_id,
        run_count=1,
        opened_at=opened,
        last_seen_at=opened,
        closed_at=opened + timedelta(seconds=lasted),
        closing="recovered",
    )


def test_nothing_is_said_of_what_is_told_or_about_to_be() -> None:
    incident = make_incident()
    assert why(incident) == ""
    notice = make_notice(OPS, incident)
    assert why(incident) == ""
    notice.state, notice.attempts = NoticeState.SENT, 3
    notice.save()
    assert why(incident) == ""


def test_a_channel_that_takes_nothing() -> None:
    incident = make_incident()
    make_notice(OPS, incident, attempts=1)
    assert why(incident) == Untold.CHANNEL_FAILING
    make_notice("mailto:other@example.com", incident, state=NoticeState.SENT, attempts=1)
    assert why(incident) == ""


def test_no_channel_and_muted() -> None:
    incident = make_incident(owner="nobody")
    assert why(incident) == Untold.NO_CHANNEL
    Incident.objects.update(muted_for_good=True)
    assert why(incident) == Untold.MUTED


def test_the_tasks_policy() -> None:
    incident = make_incident(run_count=2)
    TaskState.objects.create(task_id=incident.task_id, alert_after=3)
    assert why(incident) == Untold.BELOW_ALERT_AFTER
    TaskState.objects.update(alert_on="late,slow")
    assert why(incident) == Untold.KIND_NOT_ALERTED


def test_what_came_back_waits_and_what_flaps_is_summed_up() -> None:
    incident = make_incident(ago=100)
    before = past(incident, ago=400)
    assert why(incident) == Untold.WAITING
    notice = make_notice(OPS, before, event="flapping", state=NoticeState.SENT)
    assert why(incident) == Untold.FLAPPING
    notice.delete()
    Incident.objects.filter(pk=incident.pk).update(opened_at=database_now() - timedelta(minutes=6))
    assert why(incident) == ""


def test_of_past_incidents_nothing_is_said() -> None:
    incident = make_incident(closed_at=database_now(), owner="nobody")
    assert why_untold([incident], database_now()) == {}


@pytest.mark.parametrize("number", [1, 20])
def test_statements_do_not_grow_with_the_incidents(number: int) -> None:
    for n in range(number):
        make_incident(f"task-{n}")
    incidents = [*Incident.objects.prefetch_related("notices")]
    now = database_now()
    with CaptureQueriesContext(connection) as context:
        why_untold(incidents, now)
    assert len(context) == 3
