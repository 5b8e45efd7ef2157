"""The schedule editor's kinds: what is typed for one is kept, shown before it is saved, or refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import SOLAR_SCHEDULES, ClockedSchedule

from scheduled_tasks import operations, schedules
from scheduled_tasks.declarations.fields import values_of
from scheduled_tasks.models import ScheduledTask, database_now
from scheduled_tasks.operations import Actor
from tests.factories import make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
SCRIPT = {"ST-Request": "1"}
PLACE = {"kind": "solar", "event": "sunset", "latitude": "48.8566", "longitude": "2.3522"}


def save(client: Client, task: Any, **typed: str) -> Any:
    return client.post(f"{LIST}{task.pk}/schedule/", typed, headers=SCRIPT)


def stored(task: Any) -> ScheduledTask:
    return ScheduledTask.objects.with_schedules().get(pk=task.pk)


@pytest.mark.parametrize("way", [{}, SCRIPT])
def test_another_kind_keeps_what_was_typed_for_each(admin_client: Client, way: dict[str, str]) -> None:
    task = make_task()
    typed = {"kind": "cron", "cron": "15 4 * * *", "zone": "UTC", "spread": "3"}
    page = admin_client.post(f"{LIST}{task.pk}/schedule/", {**typed, "fill": "kind=once"}, headers=way)
    text = page.content.decode()
    assert '<input type="hidden" name="cron" value="15 4 * * *">' in text
    assert 'name="words"' in text
    more = {**typed, "kind": "once", "at": "", "words": "tomorrow 9:00", "fill": "kind=cron"}
    text = admin_client.post(f"{LIST}{task.pk}/schedule/", more, headers=way).content.decode()
    assert 'type="text" name="cron" value="15 4 * * *"' in text
    assert '<input type="hidden" name="words" value="tomorrow 9:00">' in text
    assert schedules.raw(stored(task)) == "0 3 * * *", "nothing is saved"


def test_the_preview_and_the_stored_time_are_one(admin_client: Client) -> None:
    task = make_task()
    words = {"at": "", "words": "tomorrow 9:00"}
    shown = admin_client.get(f"{LIST}{task.pk}/schedule/preview/", words).content.decode()
    assert save(admin_client, task, kind="once", **words).status_code == 200
    label = schedules.label(stored(task))
    assert label.startswith("Once, ")
    assert f"<h3>{label}</h3>" in shown
    assert timezone.localtime(stored(task).clocked.clocked_time).hour == 9
    assert save(admin_client, task, cron="0 5 * * *", zone="UTC").status_code == 200
    assert (stored(task).one_off, schedules.raw(stored(task))) == (False, "0 5 * * *")


def test_a_time_that_comes_twice_is_explained(admin_client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    preview = f"{LIST}{make_task().pk}/schedule/preview/"
    shown = admin_client.get(preview, {"at": "2036-10-26T02:30"}).content.decode()
    assert "02:30 comes twice on Sun 26 Oct in Europe/Paris" in shown
    assert "It runs at the first one." in shown


def test_the_second_of_two_equal_times_is_kept(admin_client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Paris"
    second = datetime(2036, 10, 26, 1, 30, tzinfo=UTC)
    clocked = ClockedSchedule.objects.create(clocked_time=second)
    task = make_task(cron=None, clocked=clocked, one_off=True)
    assert save(admin_client, task, kind="once", at="2036-10-26T02:30").status_code == 200
    assert stored(task).clocked.clocked_time == second


def test_the_sun(admin_client: Client) -> None:
    task = make_task()
    assert save(admin_client, task, **PLACE).status_code == 200
    assert schedules.label(stored(task)) == "Sunset at 48.8566, 2.3522"
    page = admin_client.get(f"{LIST}{task.pk}/schedule/").content.decode()
    assert 'value="48.8566"' in page
    assert page.index('name="longitude"') < page.index("In degrees") < page.index('name="event"')
    select = page[page.index('name="event"') :].partition("</select>")[0]
    codes = re.findall(r'value="(\w+)"', select)
    twilights = ["astronomical", "nautical", "civil"]
    assert codes == [
        *(f"dawn_{each}" for each in twilights),
        *("sunrise", "solar_noon", "sunset"),
        *(f"dusk_{each}" for each in reversed(twilights)),
    ]
    assert {*codes} == {*dict(SOLAR_SCHEDULES)}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"kind": "once", "at": "", "words": ""}, "Enter a time, or words such as “tomorrow 9:00”."),
        ({"kind": "once", "at": "2020-01-01T00:00"}, "This time is past. Choose one that is to come."),
        ({"kind": "once", "words": "soon"}, "This is no time. Write it as "),
        ({**PLACE, "event": "moonrise"}, "Choose one of the events of the sun."),
        ({**PLACE, "latitude": "91"}, "Enter the latitude in degrees, from -90 to 90, such as 48.8566."),
        ({**PLACE, "latitude": "x"}, "Enter the latitude in degrees"),
        (
            {**PLACE, "longitude": "-180.1"},
            "Enter the longitude in degrees, from -180 to 180, such as 2.3522.",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_refused(admin_client: Client, typed: dict[str, str], told: str) -> None:
    task = make_task()
    answer = save(admin_client, task, **typed)
    assert answer.status_code == 422
    assert told in answer.content.decode()
    assert schedules.raw(stored(task)) == "0 3 * * *"


def test_who_comes_second_is_told_what_changed_or_that_it_has_run(admin_client: Client) -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=database_now() + timedelta(days=1))
    task = make_task(cron=None, clocked=clocked, one_off=True)
    seen = operations.schedule_token(task)
    operations.reschedule_solar(
        task.pk, actor=Actor("anna", lambda about, entry: None), event="sunset", latitude="1", longitude="2"
    )
    answer = save(admin_client, task, kind="once", words="tomorrow 9:00", seen=seen)
    assert answer.status_code == 409
    assert "meanwhile: it is now sunset at 1.000000, 2.000000." in answer.content.decode()


@pytest.mark.parametrize("typed", [{"kind": "once", "words": "tomorrow 9:00"}, PLACE], ids=["once", "solar"])
def test_a_new_task_of_each_kind(admin_client: Client, typed: dict[str, str]) -> None:
    new = {"task": "tests.add", "name": "new", "args": "[1, 2]", "kwargs": "{}", "enabled": "1"}
    assert admin_client.post(f"{LIST}add/", {**new, **typed}).status_code == 303
    made = ScheduledTask.objects.with_schedules().get()
    assert values_of(made)["schedule"] == schedules.raw(made)
    assert made.one_off == (typed["kind"] == "once")
