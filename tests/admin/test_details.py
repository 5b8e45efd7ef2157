"""Owner, tags, priority, start and end of a task: edited, refused, put back; the list by owner and tag."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from scheduled_tasks.declarations.fields import change, values_of
from scheduled_tasks.models import CodeDefault, ScheduledTask, Source, TaskState, database_now
from scheduled_tasks.operations import AuditEntry, details_token
from tests.admin.test_changes import said
from tests.factories import make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
FULL = {
    "owner": " billing ",
    "tags": "nightly, eu ,nightly,",
    "priority": "7",
    "starts": "2126-12-01T06:00",
    "ends": "2127-01-01T06:00",
}
EMPTY = dict.fromkeys(FULL, "")


@pytest.fixture(autouse=True)
def plain_permissions(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    settings.TIME_ZONE = "UTC"


@pytest.fixture
def task() -> Any:
    return make_task()


def again(task: Any) -> Any:
    return ScheduledTask.objects.with_schedules().get(pk=task.pk)


def save(client: Client, task: Any, values: dict[str, str], seen: str = "") -> Any:
    data = {"seen": seen or details_token(again(task)), "next": f"{LIST}{task.pk}/change/", **values}
    return client.post(f"{LIST}{task.pk}/details/", data)


def log() -> list[str]:
    return [str(AuditEntry.of(entry.change_message)) for entry in LogEntry.objects.order_by("pk")]


def rows(page: str, tasks: list[Any]) -> set[str]:
    return {task.name for task in tasks if f'id="st-row-{task.pk}"' in page}


def test_everything_is_saved_told_and_undone(admin_client: Client, task: Any) -> None:
    answer = save(admin_client, task, FULL)
    assert (answer.status_code, said(answer)) == (303, "Details of purge saved.")
    kept = again(task)
    assert (kept.state.owner, kept.state.tags, kept.priority) == ("billing", "nightly,eu", 7)
    assert (kept.start_time, kept.expires) == (
        datetime(2126, 12, 1, 6, tzinfo=UTC),
        datetime(2127, 1, 1, 6, tzinfo=UTC),
    )
    [told] = log()
    assert told.startswith(
        "Changed: owner: – → billing; tags: – → nightly, eu; priority: – → 7; not before: –"
    )
    form = admin_client.get(f"{LIST}{task.pk}/details/").content.decode()
    for shown in ("billing", "nightly, eu", "7", "2126-12-01T06:00", "2127-01-01T06:00"):
        assert f'value="{shown}"' in form
    assert save(admin_client, task, FULL).status_code == 303
    assert len(log()) == 1  # nothing was changed the second time
    entry = LogEntry.objects.get().pk
    assert admin_client.post(f"{LIST}restore/", {"entry": str(entry)}).status_code == 303
    kept = again(task)
    assert (kept.state.owner, kept.state.tags, kept.priority) == ("", "", None)
    assert (kept.start_time, kept.expires) == (None, None)


@pytest.mark.parametrize(
    ("name", "typed", "sentence"),
    [
        ("tags", "two words", "“two words” is no tag: write a word"),
        ("tags", "a:b", "“a:b” is no tag: write a word"),
        ("tags", "x" * 31, "is no tag: write a word"),
        ("tags", ",".join(f"{n:030}" for n in range(10)), "The tags may have 200 characters in all."),
        ("owner", "o" * 101, "at most 100 characters"),
        ("priority", "10", "Enter a whole number from 0 to 9."),
        ("priority", "-1", "Enter a whole number from 0 to 9."),
        ("priority", "٣", "Enter a whole number from 0 to 9."),
        ("starts", "soon", "This is no time."),
        ("starts", "2128-01-01T06:00", "The end must be after the start."),
        ("ends", "2020-01-01T06:00", "The end must be after the start."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    admin_client: Client, task: Any, name: str, typed: str, sentence: str
) -> None:
    answer = save(admin_client, task, {**FULL, name: typed})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in page
    assert f'value="{typed}"' in page
    assert page.count('aria-invalid="true"') == 1
    assert log() == []


def test_an_end_in_the_past_or_beside_an_expiry_is_refused(admin_client: Client, task: Any) -> None:
    page = save(admin_client, task, {**EMPTY, "ends": "2020-01-01T06:00"}).content.decode()
    assert "The end is in the past" in page
    other = make_task("other", expire_seconds=60)
    page = save(admin_client, other, {**EMPTY, "ends": "2127-01-01T06:00"}).content.decode()
    assert "A task whose queued runs expire after some seconds can have no end." in page
    assert log() == []


def test_what_is_stored_and_left_alone_stays_exactly(admin_client: Client) -> None:
    start = datetime(2126, 12, 1, 6, 0, 1, 5000, tzinfo=UTC)
    task = make_task(priority=200, start_time=start)
    values = {**EMPTY, "priority": "200", "starts": "2126-12-01T06:00:01", "tags": "new"}
    assert save(admin_client, task, values).status_code == 303
    assert (again(task).priority, again(task).start_time) == (200, start)
    assert log() == ["Changed: tags: – → new."]


def test_another_persons_edit_is_named_and_can_be_overwritten(admin_client: Client, task: Any) -> None:
    seen = details_token(task)
    anna = Client()
    anna.force_login(User.objects.create_superuser("anna"))
    save(anna, task, {**EMPTY, "owner": "ops"})
    answer = save(admin_client, task, {**EMPTY, "tags": "eu"}, seen)
    assert answer.status_code == 409
    assert "anna changed the details of purge meanwhile. Changed: owner: – → ops." in answer.content.decode()
    assert again(task).state.tags == ""
    found = re.search(r'name="seen" value="([^"]*)"', answer.content.decode())
    assert found
    assert save(admin_client, task, {**EMPTY, "tags": "eu"}, unescape(found[1])).status_code == 303
    assert (again(task).state.owner, again(task).state.tags) == ("", "eu")


def test_code_default_is_told_and_reset(admin_client: Client, task: Any) -> None:
    declared = {"owner": None, "tags": "nightly", "alert_after": 2}
    CodeDefault.objects.create(task_id=task.pk, name="purge", source=Source.DECORATOR, declared=declared)
    page = admin_client.get(f"{LIST}{task.pk}/details/").content.decode()
    assert "In code: nightly" in page
    answer = admin_client.post(f"{LIST}{task.pk}/default/", {"only": "details"})
    assert said(answer) == "Details of purge were reset to their code default."
    assert (again(task).state.tags, again(task).state.alert_after) == ("nightly", None)


def test_nothing_past_runs_when_start_and_end_change(task: Any) -> None:
    now = database_now()
    state = TaskState(task_id=task.pk, accounted_until=now - timedelta(days=3), enabled_since=now)
    state.next_run_at = now - timedelta(days=2)
    state.save()
    kept = again(task)
    change(kept, {"ends": (now + timedelta(days=9)).isoformat()}, now)
    state = again(task).state
    assert state.next_run_at is not None
    assert state.next_run_at > now
    assert values_of(again(task))["starts"] is None


HOSTILE = {"owner": '<b>"x"&\'', "tags": "<i>,\u202eevil"}


def test_menus_and_labels_filter_and_count(admin_client: Client) -> None:
    tasks = [make_task(name) for name in ("one", "two", "three", "four")]
    labels = [("billing", "eu,Nightly"), ("billing", "nightly"), (HOSTILE["owner"], HOSTILE["tags"])]
    for task, (owner, tags) in zip(tasks, labels, strict=False):
        TaskState.objects.create(task_id=task.pk, owner=owner, tags=tags)
    page = admin_client.get(LIST).content.decode()
    assert "<b>&quot;" not in page
    assert "<i>" not in page
    assert re.search(r"<bdi>billing</bdi> <span class=\"st-quiet\">2</span>", page)
    assert re.search(r"<bdi>Nightly</bdi> <span class=\"st-quiet\">2</span>", page, re.IGNORECASE)
    for query, names in (
        ({"owner": "billing"}, {"one", "two"}),
        ({"tag": "nightly"}, {"one", "two"}),
        ({"owner": "billing", "tag": "eu"}, {"one"}),
        ({"owner": HOSTILE["owner"]}, {"three"}),
        ({"tag": "<i>"}, {"three"}),
        ({"owner": "x" * 300}, set()),
    ):
        page = admin_client.get(LIST, query).content.decode()
        assert rows(page, tasks) == names
        assert f"<b>{len(names)}</b> task" in page
        assert "No scheduled tasks yet" not in page
        lanes = admin_client.get(f"{LIST}timeline/", query).content.decode()
        assert {task.name for task in tasks if f"/{task.pk}/change/" in lanes} == names


def test_no_menu_where_no_task_has_an_owner_or_a_tag(admin_client: Client, task: Any) -> None:
    assert "st-picker" not in admin_client.get(LIST).content.decode()


def only_own(request: Any, action: str, task: Any = None) -> bool:
    return task is None or not task.pk or task.name == "mine"


def test_a_viewer_sees_only_owners_and_tags_of_tasks_that_they_may_see(
    admin_client: Client, settings: Any
) -> None:
    mine, other = make_task("mine"), make_task("other")
    TaskState.objects.create(task_id=mine.pk, owner="billing", tags="eu")
    TaskState.objects.create(task_id=other.pk, owner="secret-team", tags="secret-tag,eu")
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": f"{__name__}.only_own"}
    for address in (LIST, f"{LIST}{mine.pk}/details/", f"{LIST}?tag=secret-tag"):
        page = admin_client.get(address).content.decode()
        assert "secret-team" not in page
        assert ">secret-tag<" not in page.replace('<b class="st-one">secret-tag</b>', "")
    assert '<bdi>eu</bdi> <span class="st-quiet">1</span>' in admin_client.get(LIST).content.decode()


def test_a_stored_time_in_an_hour_that_comes_twice_survives(
    admin_client: Client, task: Any, settings: Any
) -> None:
    """Also in the form of a copy; what is typed anew there is refused."""
    settings.TIME_ZONE = "Europe/Paris"
    second = datetime(2126, 10, 27, 1, 30, tzinfo=UTC)
    change(again(task), {"ends": second.isoformat()}, database_now())
    typed = {**EMPTY, "ends": "2126-10-27T02:30", "tags": "nightly"}
    assert typed["ends"] in admin_client.get(f"{LIST}{task.pk}/details/").content.decode()
    assert save(admin_client, task, typed).status_code == 303
    assert (values_of(again(task))["ends"], values_of(again(task))["tags"]) == (second.isoformat(), "nightly")
    new = {**typed, "cron": "0 4 * * *", "zone": "UTC", "task": task.task, "name": "copy", "args": "[1, 2]"}
    assert admin_client.post(f"{LIST}add/?source={task.pk}", {**new, "kwargs": "{}"}).status_code == 303
    assert values_of(ScheduledTask.objects.with_schedules().get(name="copy"))["ends"] == second.isoformat()
    refused = save(admin_client, task, {**typed, "ends": "2126-10-27T02:45"})
    assert "02:45 comes twice" in refused.content.decode()
