"""The spread of a schedule in the editor: typed in minutes, seen in the preview, saved with the rest."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from scheduled_tasks import schedules
from scheduled_tasks.models import ScheduledTask, TaskState, database_now
from scheduled_tasks.moments import exact_span
from scheduled_tasks.spread import spread_of, spread_offset
from tests.admin.test_changes import log
from tests.admin.test_list import LIST
from tests.factories import make_process, make_task

pytestmark = pytest.mark.django_db


def typed(spread: str, cron: str = "0 * * * *") -> dict[str, str]:
    return {"cron": cron, "zone": "UTC", "spread": spread, "next": LIST}


def stored(task: Any) -> ScheduledTask:
    return ScheduledTask.objects.with_schedules().get(pk=task.pk)


def test_saved_with_the_schedule_and_shown_everywhere(admin_client: Client) -> None:
    task = make_task(cron="0 * * * *")
    url = f"{LIST}{task.pk}/schedule/"
    preview = admin_client.get(f"{url}preview/", typed("10")).content.decode()
    assert "<h3>Hourly, within 10 min</h3>" in preview
    admin_client.post(url, typed("10"))
    assert stored(task).state.spread == timedelta(minutes=10)
    page = admin_client.get(LIST).content.decode()
    assert "Hourly, within 10 min" in page
    assert 'name="spread" value="10"' in admin_client.get(url).content.decode()
    next_run = schedules.next_run(stored(task), database_now())
    assert f"{next_run:%M:%S}" in preview.replace("&nbsp;", " ") or f":{next_run:%M}" in preview
    drawer = admin_client.get(f"{LIST}{task.pk}/change/").content.decode()
    assert "Hourly → Hourly, within 10 min" in drawer
    assert "0 * * * * (UTC, within 600 s)" in str(log())


@pytest.mark.parametrize(
    ("spread", "sentence"),
    [
        ("60", "The spread must be shorter than the time from one run to the next, here 1 h."),
        ("-1", "Enter the spread in minutes, such as 10."),
        ("1e", "Enter the spread in minutes, such as 10."),
        ("0.001", "The shortest spread is one second."),
        ("1440", "The spread must be shorter than the time from one run to the next, here 1 h."),
    ],
)
def test_a_refused_spread_keeps_what_was_typed(admin_client: Client, spread: str, sentence: str) -> None:
    task = make_task(cron="0 3 * * *")
    answer = admin_client.post(f"{LIST}{task.pk}/schedule/", typed(spread))
    assert answer.status_code == 422
    page = answer.content.decode()
    assert sentence in page
    assert f'name="spread" value="{spread}"' in page
    fields = {field: re.search(rf'<input[^>]*name="{field}"[^>]*>', page)[0] for field in ("cron", "spread")}
    assert {field for field, tag in fields.items() if 'aria-invalid="true"' in tag} == {"spread"}
    assert not TaskState.objects.exclude(spread=None).exists()


def test_a_form_without_the_field_keeps_the_spread(admin_client: Client) -> None:
    task = make_task(cron="0 * * * *")
    admin_client.post(f"{LIST}{task.pk}/schedule/", typed("1.5"))
    admin_client.post(f"{LIST}{task.pk}/schedule/", {"cron": "30 * * * *", "zone": "UTC"})
    assert stored(task).state.spread == timedelta(seconds=90)
    assert 'name="spread" value="1.5"' in admin_client.get(f"{LIST}{task.pk}/schedule/").content.decode()


def test_a_new_task_has_the_times_that_its_preview_shows(admin_client: Client) -> None:
    make_process(task_names=["tests.add_numbers"])
    form = {**typed("30"), "task": "tests.add_numbers", "name": "", "enabled": "1"}
    shown = admin_client.get(f"{LIST}add/preview/", form).content.decode()
    admin_client.post(f"{LIST}add/", form)
    task = ScheduledTask.objects.with_schedules().get(name="add-numbers")
    assert task.state.spread == timedelta(minutes=30)
    first = re.search(r'<time datetime="([^"]*)"', shown)
    assert first
    assert datetime.fromisoformat(first[1]) == schedules.next_run(task, task.last_run_at)


def test_a_copy_is_spread_by_its_own_name(admin_client: Client) -> None:
    task = make_task("purge", cron="0 * * * *")
    admin_client.post(f"{LIST}{task.pk}/schedule/", typed("30"))
    page = admin_client.get(f"{LIST}add/?source={task.pk}").content.decode()
    copied = stored(task)
    copied.name = "purge (copy)"
    assert 'name="spread" value="30"' in page
    minute = schedules.next_run(copied, database_now()).minute
    assert re.search(rf'<time datetime="[^"]*:{minute:02}:', page)


def test_a_wrong_spread_hides_no_wrong_cron(admin_client: Client) -> None:
    page = admin_client.post(f"{LIST}{make_task().pk}/schedule/", typed("-1", "61 * * * *")).content.decode()
    assert "Enter the spread in minutes, such as 10." in page
    assert "61" in page
    assert page.count('aria-invalid="true"') == 2


@pytest.mark.parametrize(
    ("cron", "minutes"), [("*/5 * * * *", 4), ("*/2 * * * *", 1), ("* * * * *", 59 / 60)]
)
def test_a_spread_that_the_schedule_outgrew_is_cut_and_said(
    admin_client: Client, cron: str, minutes: float
) -> None:
    """As a sync or django-celery-beat's admin leaves it: nobody typed it, so nothing is refused."""
    task = make_task(cron=cron)
    TaskState.objects.create(task_id=task.pk, spread=timedelta(hours=1))
    kept, gap = timedelta(minutes=minutes), timedelta(minutes=int(cron[2]) if cron[1] == "/" else 1)
    assert spread_of(stored(task)) == kept
    assert spread_offset(stored(task)) < gap
    url = f"{LIST}{task.pk}/schedule/"
    page = admin_client.get(url).content.decode()
    assert f'name="spread" value="{minutes:g}"' in page
    assert f"A spread of 1 h is stored, which counts as {exact_span(kept)}" in page
    assert admin_client.post(url, {"cron": cron, "zone": "UTC"}).status_code == 303
    assert stored(task).state.spread == kept
    assert "is stored, which counts as" not in admin_client.get(url).content.decode()
