"""Changes need the CSRF token; a refusal is a page of the admin. Who may do what is in test_admin_matrix."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from scheduled_tasks.models import TaskRun
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/scheduled_tasks/scheduledtask/"


@pytest.mark.parametrize("path", ["enabled/", "schedule/", "skip/", "default/", "runs/"])
def test_changes_of_a_task_need_the_csrf_token(admin_user: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    task = make_task()
    values = {"enabled": "0", "cron": "0 4 * * *", "zone": "UTC", "skip": "1"}
    assert client.post(f"{LIST}{task.pk}/{path}", values).status_code == 403
    task.refresh_from_db()
    assert (task.enabled, task.crontab.hour) == (True, "3")
    assert not TaskRun.objects.exists()


@pytest.mark.parametrize("path", ["retry/", "cancel/"])
def test_changes_of_a_run_need_the_csrf_token(admin_user: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    run = make_run(make_task())
    assert client.post(f"/admin/scheduled_tasks/taskrun/{run.pk}/{path}").status_code == 403
    assert TaskRun.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_refusal_is_a_page_of_the_admin(client: Client, settings: Any, headers: dict[str, str]) -> None:
    settings.SCHEDULED_TASKS = {}
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    response = client.get(LIST, headers=headers)
    assert response.status_code == 403
    assert b'id="header"' in response.content
    assert b"You may not do this" in response.content
    assert b"nobody" in response.content
