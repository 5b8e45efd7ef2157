"""Links out of a run, on its page and in the drawer."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from scheduled_tasks.models import Status
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

SCRIPT = {"ST-Request": "1"}


def test_links_out_of_a_run(admin_client: Client, settings: Any) -> None:
    template = "https://logs.test/?id={celery_id}&from={started_at}"
    settings.SCHEDULED_TASKS = {
        "RUN_LINKS": {"Logs & more": template, "Bad": "javascript:{celery_id}", "Worse": 5, "None": "{x}"}
    }
    task = make_task()
    run = make_run(task, celery_id="a/b")
    skipped = make_run(task, Status.SKIPPED, celery_id=None)
    address = "/admin/scheduled_tasks/taskrun/{}/change/"
    for headers in ({}, SCRIPT):
        text = admin_client.get(address.format(run.pk), headers=headers).content.decode()
        assert "https://logs.test/?id=a%2Fb&amp;from=2" in text
        assert "Logs &amp; more" in text
        assert "javascript:" not in text
        assert "Worse" not in text
        text = admin_client.get(address.format(skipped.pk), headers=headers).content.decode()
        assert "logs.test" not in text
    settings.SCHEDULED_TASKS = {"RUN_LINKS": ["https://x.test"]}
    assert admin_client.get(address.format(run.pk)).status_code == 200
