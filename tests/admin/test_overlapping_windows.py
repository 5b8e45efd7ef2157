"""Two maintenance windows at a time: what the pages say of a task under both, and when one of them ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from scheduled_tasks.models import MaintenanceWindow, TaskState, database_now
from tests.admin.test_maintenance import HOUR, SCRIPT, TASKS, WINDOWS, row_of, shown, text_of, window
from tests.factories import make_task

pytestmark = pytest.mark.django_db

AGAIN = "The maintenance has ended. Tasks start on schedule again."
STILL = "The maintenance has ended. Some of its tasks stay paused: the list says why."


def end(client: Client, made: MaintenanceWindow) -> str:
    answer = client.post(f"{WINDOWS}{made.pk}/end/", headers=SCRIPT)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("ends", [None, 3 * HOUR])
def test_a_row_under_two_windows_names_the_one_that_ends_last(
    admin_client: Client, ends: timedelta | None
) -> None:
    task = make_task()
    window(task, begins=-2 * HOUR, by="bob", note="alone")
    made = window(ends=ends)
    window(by="carl", note="short")
    until = shown(made.ends_at) if made.ends_at else "it is ended"
    row = row_of(admin_client, task)
    assert f"Maintenance until {until} (anna: database move)" in row
    assert "bob" not in row


def test_the_end_of_one_says_whether_its_tasks_start_again(admin_client: Client, settings: Any) -> None:
    task, other = make_task(), make_task("other")
    first, of_other, for_all = window(task), window(other), window()
    assert STILL in end(admin_client, for_all)
    assert AGAIN in end(admin_client, first), "what pauses another task is no reason"
    other.enabled = False
    other.save()
    assert AGAIN in end(admin_client, window()), "a disabled task starts by no window's end"
    assert AGAIN in end(admin_client, of_other)
    settings.SCHEDULED_TASKS = {"PAUSED": True}
    assert STILL in end(admin_client, window(task))


def test_one_that_has_not_begun_is_cancelled(admin_client: Client) -> None:
    text = end(admin_client, window(make_task(), begins=HOUR, ends=2 * HOUR))
    assert "The maintenance is cancelled." in text
    assert "has ended" not in text


def test_the_timeline_plans_nothing_that_maintenance_skips(admin_client: Client) -> None:
    task, now = make_task(cron="* * * * *"), database_now()
    coming = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=coming)
    url = f"{TASKS}timeline/"
    text = text_of(admin_client, url)
    assert "· 0 planned" not in text
    assert "Will be skipped" not in text, "the legend has it where there is such a one"
    window(task, ends=None)
    text = text_of(admin_client, url)
    assert "· 0 planned" in text
    assert "None planned." in text
    assert "Will be skipped" in text
