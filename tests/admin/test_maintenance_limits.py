"""Odd ends of a maintenance, and what somebody who sees only some tasks sees of maintenance and runs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule

from scheduled_tasks.admin import ScheduledTaskAdmin
from scheduled_tasks.models import MaintenanceWindow, ScheduledTask, Status, TaskState, database_now
from tests.factories import make_run, make_task

from .test_maintenance import HOUR, SCRIPT, TASKS, WINDOWS, plan, row_of, text_of, window

pytestmark = pytest.mark.django_db


def test_an_hour_that_comes_twice_is_told_as_such(admin_client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    made = window()
    for until, told in (
        (
            "2032-10-31T02:30",
            "02:30 comes twice on Sun 31 Oct in Europe/Paris: the clocks are put back. Choose another",
        ),
        ("soon", "This is no time."),
    ):
        answer = admin_client.post(f"{WINDOWS}{made.pk}/extend/", {"until": until}, headers=SCRIPT)
        assert answer.status_code == 409
        assert told in answer.content.decode()


def test_a_plan_takes_words(admin_client: Client) -> None:
    plan(admin_client, starts_words="tomorrow 9:00", until_words="tomorrow 11:00")
    made = MaintenanceWindow.objects.get()
    assert (timezone.localtime(made.starts_at).hour, made.ends_at - made.starts_at) == (9, 2 * HOUR)


def test_a_task_that_is_gone_hides_no_window(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, gone, other = make_task("mine"), make_task("mine too"), make_task("other")
    window(mine, gone, note="both")
    window(other, note="hidden")
    for task in (gone, other):
        task.delete()
    seen = ScheduledTask.objects.filter(name__startswith="mine")
    monkeypatch.setattr(ScheduledTaskAdmin, "get_queryset", lambda self, request: seen.all())
    text = text_of(admin_client, WINDOWS)
    assert "both mine" in text, "what is left of its tasks"
    assert "hidden" not in text


def test_the_row_of_the_task_that_is_left_comes_with_the_next_refresh(admin_client: Client) -> None:
    left, gone = make_task("left"), make_task("gone")
    window(left, gone)
    first = admin_client.get(f"{TASKS}rows/", headers={**SCRIPT, "ST-Rows": "0:x"}).content.decode()
    key = re.search(rf'id="st-row-{left.pk}"[^>]* data-key="(\w+)"', first)
    assert key
    gone.delete()
    again = admin_client.get(f"{TASKS}rows/", headers={**SCRIPT, "ST-Rows": f"{left.pk}:{key[1]}"})
    assert "Paused until" in again.content.decode()


@pytest.mark.parametrize("where", [TASKS, f"{TASKS}timeline/", WINDOWS])
def test_a_window_of_hidden_tasks_is_told_nowhere(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    mine = [make_task("mine"), make_task("mine too")]
    hidden = window(make_task("other"), make_task("another"), note="of hidden ones")
    window(*mine, note="of both of mine")
    assert "of hidden ones" in text_of(admin_client, where)
    seen = ScheduledTask.objects.filter(name__startswith="mine")
    monkeypatch.setattr(ScheduledTaskAdmin, "get_queryset", lambda self, request: seen.all())
    text = text_of(admin_client, where)
    assert "of both of mine" in text
    assert "of hidden ones" not in text
    for address in ("change", "history"):
        assert admin_client.get(f"{WINDOWS}{hidden.pk}/{address}/").status_code in (302, 404)


def test_a_search_of_runs_does_not_tell_that_a_hidden_task_has_this_name(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "min"):
        make_run(make_task(name))
    seen = ScheduledTask.objects.filter(name="mine")
    monkeypatch.setattr(ScheduledTaskAdmin, "get_queryset", lambda self, request: seen.all())
    url = "/admin/scheduled_tasks/taskrun/export/"
    assert b"mine" in b"".join(admin_client.get(url, {"format": "json", "task": "min"}))


def test_the_tasks_under_a_filter_are_named_before_they_are_saved(admin_client: Client) -> None:
    for name in ("purge <b>", "purge 1", "report", "purge 2", "purge 3", "purge 4"):
        make_task(name)
    found = plan(admin_client, save=False, scope="filter", q="purge").content.decode()
    assert "Tasks: purge 1, purge 2, purge 3, purge 4, purge &lt;b&gt;" in found
    make_task("purge away")
    make_task("purge before")
    found = plan(admin_client, save=False, scope="filter", q="purge").content.decode()
    assert "Tasks: purge 1, purge 2, purge 3, purge 4, purge &lt;b&gt; and 2 more" in found
    assert "Tasks: " not in plan(admin_client, save=False).content.decode()


@pytest.mark.parametrize("where", ["preview", "schedule"])
def test_the_editor_says_which_next_runs_will_be_skipped(admin_client: Client, where: str) -> None:
    task = make_task(cron="* * * * *")
    window(make_task("other"))
    url = f"{TASKS}{task.pk}/{'schedule/preview' if where == 'preview' else where}/"
    assert "will be skipped" not in text_of(admin_client, url)
    minute = timedelta(minutes=1)
    window(task, begins=2 * minute, ends=4 * minute)
    text = text_of(admin_client, url, cron="* * * * *", zone="UTC")
    assert text.count("will be skipped") == 2
    assert "in 3 min · will be skipped" in text


def test_a_task_of_one_time_that_was_skipped_says_so(admin_client: Client) -> None:
    at = database_now() - HOUR / 2
    clocked = ClockedSchedule.objects.create(clocked_time=at)
    task = make_task("once", cron=None, clocked=clocked, one_off=True, enabled=False)
    ran = make_task("ran", cron=None, clocked=clocked, one_off=True, enabled=False)
    make_run(ran)
    tick = {"scheduled_for": at, "scheduled_until": at, "celery_id": None}
    skipped = make_run(task, Status.SKIPPED, **tick, reason="paused_by", reason_params='{"by": "anna"}')
    said = f"Its only run was skipped. {skipped.reason_text}"
    assert said in row_of(admin_client, task)
    assert "only run" not in row_of(admin_client, ran)
    assert skipped.reason_text in text_of(admin_client, f"{TASKS}{task.pk}/change/")
    run = f"/admin/scheduled_tasks/taskrun/{skipped.pk}/"
    assert f"{run}later/" in admin_client.get(f"{run}change/").content.decode()
    assert admin_client.post(f"{run}later/").status_code == 303
    assert task.scheduled_runs.filter(status=Status.WAITING).count() == 1
    TaskState.objects.update_or_create(task_id=task.pk, defaults={"paused_by": "operator"})
    assert "only run" not in row_of(admin_client, task)


MARKED = r'<input id="st-{}-{}"[^>]*aria-invalid="true"'


def error_of(html: str, name: str) -> str:
    """The sentence below a field."""
    found = re.search(rf'<p class="st-error" id="st-error-{name}" >.*?<span>(.*?)</span>', html, re.DOTALL)
    return found[1] if found else ""


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        ({"until": "2020-01-01T00:00"}, "until", "The end lies in the past."),
        ({"starts": "2099-01-02T00:00", "until": "2099-01-01T00:00"}, "until", "The end lies before"),
        ({"until": "soon"}, "until", "This is no time."),
        ({"until_words": "soon"}, "until", "This is no time."),
        ({"starts": "2020-01-01T00:00"}, "starts", "The start lies in the past."),
        ({"note": "x" * 501}, "note", "at most 500 characters"),
        ({"q": "pur"}, "scope", "All tasks are chosen"),
        ({"scope": "filter", "q": "nothing like it"}, "scope", "No task is chosen."),
        ({"scope": "filter", "q": "x" * 201}, "scope", "at most 200 characters"),
    ],
)
def test_a_refusal_of_a_plan_stands_at_its_field(
    admin_client: Client, data: dict[str, str], name: str, error: str
) -> None:
    html = plan(admin_client, **data).content.decode()
    assert error in error_of(html, name)
    assert html.count(error) == 1
    if name in ("until", "starts"):
        place = "words" if data.get("until_words") else "at"
        assert re.search(MARKED.format(place, name), html)
        assert all(f'value="{value}"' in html for value in data.values())


@pytest.mark.parametrize("way", ["script", "plain"])
@pytest.mark.parametrize("selected", [False, True])
def test_a_refused_pause_stands_at_its_field(admin_client: Client, way: str, selected: bool) -> None:
    task, headers = make_task(), SCRIPT if way == "script" else {}
    data = {"until": "2020-01-01T00:00"}
    if selected:
        more = {"action": "pause_selected", "index": "0", "_selected_action": task.pk, "confirmed": "1"}
        answer = admin_client.post(TASKS, {**data, **more}, headers=headers)
    else:
        answer = admin_client.post(f"{TASKS}{task.pk}/until/", data, headers=headers)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "The end lies in the past." in error_of(html, "until")
    assert re.search(MARKED.format("at", "until"), html)
    assert 'value="2020-01-01T00:00"' in html


@pytest.mark.parametrize("way", ["script", "plain"])
@pytest.mark.parametrize(
    ("until", "error"), [("2020-01-01T00:00", "The end lies in the past."), ("soon", "This is no time.")]
)
def test_another_end_that_is_refused_stands_at_its_field(
    admin_client: Client, way: str, until: str, error: str
) -> None:
    made = window()
    headers = SCRIPT if way == "script" else {}
    answer = admin_client.post(f"{WINDOWS}{made.pk}/extend/", {"until": until}, headers=headers)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert error in error_of(html, f"end-{made.pk}")
    assert re.search(MARKED.format("end", made.pk), html)
    assert f'name="until" value="{until}"' in html
    assert f'<details id="st-other-end-{made.pk}" open>' in html
