"""Settings of a wrong type stop neither the pages nor the looks."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from scheduled_tasks import checks
from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import Incident, Status
from tests.factories import make_run, make_task
from tests.test_conf import ALWAYS, WRONG

CASES = [(key, wrong) for key, values in {**WRONG, **ALWAYS}.items() for wrong in values[:2]]


@pytest.mark.parametrize(("key", "wrong"), CASES)
def test_pages_and_looks_go_on(
    watching: Watcher, admin_client: Client, settings: Any, key: str, wrong: Any
) -> None:
    settings.SCHEDULED_TASKS = {"ALERTS": {"default": ["mailto:ops@example.com"]}, key: wrong}
    task = make_task()
    run = make_run(task, Status.FAILED, error="no")
    make_run(task, Status.RUNNING, ago=600)
    watching.turn()
    incident = Incident.objects.get(kind="failing")
    for path in (
        "scheduledtask/",
        "scheduledtask/rows/",
        f"scheduledtask/{task.pk}/change/",
        f"scheduledtask/{task.pk}/alerts/",
        f"taskrun/{run.pk}/change/",
        "incident/",
        f"incident/{incident.pk}/change/",
    ):
        assert admin_client.get(f"/admin/scheduled_tasks/{path}").status_code == 200, path
    answer = admin_client.post("/admin/scheduled_tasks/incident/test/", {"owner": "billing"})
    assert answer.status_code == 303
    assert f"SCHEDULED_TASKS[{key!r}]" in " ".join(each.msg for each in checks.check_settings())
