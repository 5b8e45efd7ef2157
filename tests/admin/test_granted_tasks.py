"""A policy that takes a task: who sees some tasks finds nothing of the others, and changes only their own."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.models import (
    MaintenanceTask,
    MaintenanceWindow,
    ScheduledTask,
    Status,
    TaskRun,
    TaskState,
    database_now,
)
from scheduled_tasks.operations import publishing
from tests.alerts.rows import make_incident
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

BASE = "/admin/scheduled_tasks/"
LIST = f"{BASE}scheduledtask/"
SCRIPT = {"ST-Request": "1"}
asked: Counter[tuple[str, int | None]] = Counter()


def by_owner(request: Any, action: str, task: Any = None) -> bool:
    """The superuser everything; others what they own, and "reader" sees all that has a name."""
    asked[action, task and task.pk] += 1
    name = request.user.get_username()
    if name == "root" or task is None:
        return True
    return task.state.owner == name or bool(name == "reader" and action == "view" and task.name)


@pytest.fixture(autouse=True)
def policy(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": f"{__name__}.by_owner"}
    monkeypatch.setattr(publishing, "send", lambda *args: None)
    asked.clear()


def client_of(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.create_user(name, is_staff=True))
    return client


def owned(owner: str, name: str) -> Any:
    """A task of this owner with a failed run, a waiting run and an incident."""
    incident = make_incident(name)
    TaskState.objects.update_or_create(task_id=incident.task_id, defaults={"owner": owner})
    task = ScheduledTask.objects.get(pk=incident.task_id)
    task.incident, task.failed = incident, incident.last_run
    task.queued = make_run(task, Status.QUEUED)
    return task


def window_of(*tasks: Any, **values: Any) -> MaintenanceWindow:
    window = MaintenanceWindow.objects.create(starts_at=database_now(), by="anna", **values)
    for task in tasks:
        MaintenanceTask.objects.create(window=window, task_id=task.pk)
    return window


def text_of(response: Any) -> str:
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return str(content.decode())


@pytest.mark.parametrize("headers", [{}, SCRIPT])
def test_nothing_of_a_hidden_task_is_anywhere(headers: dict[str, str]) -> None:
    own, hidden = owned("billing", "invoices"), owned("ops", "hush")
    window_of(hidden, note="hush")
    window_of(own, hidden, note="deploy")
    client = client_of("billing")
    pages = [
        LIST,
        f"{LIST}?q=hush",
        f"{LIST}?state=incident",
        f"{LIST}rows/",
        f"{LIST}timeline/",
        f"{LIST}timeline/?q=hush",
        f"{LIST}{own.pk}/change/?run={hidden.failed.pk}",
        f"{BASE}taskrun/",
        f"{BASE}taskrun/?task={hidden.pk}",
        f"{BASE}taskrun/export/?format=csv",
        f"{BASE}taskrun/export/?format=json",
        f"{BASE}taskrun/retry/?status=failed",
        f"{BASE}incident/",
        f"{BASE}maintenancewindow/",
        f"{BASE}maintenancewindow/add/",
    ]
    for page in pages:
        response = client.get(page, headers=headers)
        assert response.status_code == 200, page
        text = text_of(response).replace("?q=hush", "").replace('value="hush"', "").replace("q=hush", "")
        assert "hush" not in text, page
        assert f"/{hidden.failed.pk}/change/" not in text, page
    assert "1 scheduled task\n" in text_of(client.get(LIST))
    assert ["invoices"] == [
        each["name"] for each in json.loads(text_of(client.get(f"{BASE}taskrun/export/?format=json")))
    ][:1]


def test_who_is_granted_everything_sees_what_belongs_to_no_task() -> None:
    make_run(make_task("logs of May"))
    ScheduledTask.objects.all().delete()
    owned("ops", "hush")
    window_of(note="all of them", covers_all=True)
    for name, sees in (("root", True), ("reader", False)):
        client = client_of(name)
        assert ("logs of May" in text_of(client.get(f"{BASE}taskrun/"))) == sees
        assert ("all of them" in text_of(client.get(f"{BASE}maintenancewindow/"))) == sees
        assert "hush" in text_of(client.get(LIST))


def test_rows_offer_what_may_be_done_to_each() -> None:
    own, other = owned("reader", "invoices"), owned("ops", "rates")
    window_of(own, note="one")
    window_of(other, note="another")
    client = client_of("reader")
    rows = text_of(client.get(LIST)).split('<tr class="st-row"')[1:]
    offers = ("/enabled/", "/runs/", "/cancel/", "/skip/", "/pause/", "add/?source=", "/delete/", "checkbox")
    for task in (own, other):
        (row,) = (each for each in rows if f'id="st-row-{task.pk}"' in each)
        offered = {each for each in offers if each in row} - {"/skip/"}
        assert offered == ({*offers} - {"/skip/"} if task is own else set())
        drawer = text_of(client.get(f"{LIST}{task.pk}/change/?run={task.failed.pk}", headers=SCRIPT))
        offers_there = ("/runs/", "/enabled/", "/retry/", "/cancel/", "/delete/", "/acknowledge/")
        assert {each for each in offers_there if each in drawer} == (
            {*offers_there} if task is own else set()
        )
        story = text_of(client.get(f"{BASE}incident/{task.incident.pk}/change/"))
        assert ("/acknowledge/" in story) == (task is own)
        run = text_of(client.get(f"{BASE}taskrun/{task.failed.pk}/change/"))
        assert ("/retry/" in run) == (task is own)
    windows = text_of(client.get(f"{BASE}maintenancewindow/"))
    assert windows.count("End now") == 1


def test_an_action_on_several_leaves_out_the_others_and_says_so() -> None:
    tasks = [owned("reader", "a"), owned("reader", "b"), owned("ops", "c")]
    client = client_of("reader")
    sent = {"_selected_action": [task.pk for task in tasks], "action": "disable_selected", "index": "0"}
    text = text_of(client.post(LIST, sent, follow=True))
    assert "2 tasks are disabled." in text
    assert "1 task is left out: you may not do this to it." in text
    assert set(ScheduledTask.objects.filter(enabled=True).values_list("name", flat=True)) == {"c"}
    for action in ("run_selected", "pause_selected", "delete_selected"):
        question = text_of(client.post(LIST, {**sent, "action": action}, headers=SCRIPT))
        assert "1 task is left out" in question
        assert f'value="{tasks[2].pk}"' not in question
        client.post(LIST, {**sent, "action": action, "confirmed": "1"})
    assert set(ScheduledTask.objects.values_list("name", flat=True)) == {"c"}
    assert not TaskRun.objects.filter(task_id=tasks[2].pk, trigger="manual").exists()
    assert not MaintenanceTask.objects.filter(task_id=tasks[2].pk).exists()
    only = {**sent, "_selected_action": tasks[2].pk, "action": "delete_selected"}
    assert "1 task is left out" in text_of(client.post(LIST, only, follow=True))


def test_retry_and_maintenance_take_only_ones_own() -> None:
    own, other = owned("reader", "invoices"), owned("ops", "rates")
    TaskRun.objects.filter(status=Status.QUEUED).delete()
    client = client_of("reader")
    client.post(f"{BASE}taskrun/retry/", {"runs": f"{own.failed.pk},{other.failed.pk}", "key": "k"})
    assert [run.task_id for run in TaskRun.objects.exclude(retry_of=None)] == [own.pk]
    client.post(f"{BASE}maintenancewindow/add/", {"scope": "all", "save": "1"})
    window = MaintenanceWindow.objects.get()
    assert not window.covers_all
    assert [each.task_id for each in MaintenanceTask.objects.all()] == [own.pk]


def test_a_copy_and_an_undo_ask_for_the_task() -> None:
    other = owned("ops", "rates")
    root, reader, billing = client_of("root"), client_of("reader"), client_of("billing")
    add = f"{LIST}add/?source={other.pk}"
    assert [each.get(add).status_code for each in (root, reader, billing)] == [200, 403, 404]
    changed = text_of(root.post(f"{LIST}{other.pk}/skip/", {"skip": "1"}, headers=SCRIPT))
    entry = changed.partition('name="entry" value="')[2].partition('"')[0]
    sent = [each.post(f"{LIST}restore/", {"entry": entry}).status_code for each in (billing, reader, root)]
    assert sent == [404, 403, 303]
    root.post(f"{LIST}{other.pk}/alerts/", {"owner": "ops", "alert_after": "3"}, headers=SCRIPT)
    history = f"{LIST}{other.pk}/history/"
    assert ['id="st-restore-' in text_of(each.get(history)) for each in (root, reader)] == [True, False]


def test_a_deleted_task_comes_back_to_who_deleted_it() -> None:
    own = owned("billing", "invoices")
    client = client_of("billing")
    deleted = text_of(client.post(f"{LIST}{own.pk}/delete/", headers=SCRIPT))
    entry = deleted.partition('name="entry" value="')[2].partition('"')[0]
    back = text_of(client.post(f"{LIST}restore/", {"entry": entry}, headers=SCRIPT))
    assert f'id="st-row-{own.pk}" role="row"' in back


def test_a_refresh_brings_what_is_granted_since() -> None:
    own, other = owned("billing", "invoices"), owned("ops", "rates")
    client = client_of("billing")
    first = client.get(f"{LIST}rows/", headers=SCRIPT)
    shown = {**SCRIPT, "If-None-Match": first["ETag"], "ST-Rows": ""}
    assert client.get(f"{LIST}rows/", headers=shown).status_code == 304
    TaskState.objects.filter(task_id=other.pk).update(owner="billing")
    after = text_of(client.get(f"{LIST}rows/", headers=shown))
    assert f'id="st-row-{other.pk}"' in after
    TaskState.objects.filter(task_id=own.pk).update(owner="ops")
    shown = {**SCRIPT, "ST-Rows": f"{own.pk}:x"}
    assert f'id="st-row-{own.pk}" data-st-put="remove"' in text_of(client.get(f"{LIST}rows/", headers=shown))


def test_the_policy_is_asked_once_for_each_task() -> None:
    tasks = [owned("billing", "invoices"), owned("ops", "rates")]
    client = client_of("billing")
    asked.clear()
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(LIST)
    assert {asked["view", task.pk] for task in tasks} == {1}
    assert asked["change", tasks[1].pk] == 0
    for n in range(20):
        owned("ops", f"rates {n}")
    with CaptureQueriesContext(connection) as many:
        client.get(LIST)
    assert len(many) == len(few)


def test_metrics_are_for_who_sees_every_task(settings: Any) -> None:
    metrics = pytest.importorskip("scheduled_tasks.metrics.view").metrics
    owned("ops", "rates")
    for name, status in (("root", 200), ("reader", 403)):
        client = client_of(name)
        request = client.get(LIST).wsgi_request
        vars(request).pop("scheduled_tasks_grants", None)
        assert metrics(request).status_code == status


def pasted(request: Any, action: str, task: Any = None) -> bool:
    """The example of docs/guides/access.md."""
    names: dict[str, Any] = {}
    text = (Path(__file__).parents[2] / "docs/guides/access.md").read_text()
    exec(re.findall(r"```python\n(# proj/access\.py.*?)```", text, re.DOTALL)[0], names)
    return bool(names["may_use_scheduled_tasks"](request, action, task))


def test_the_documented_example_gives_a_group_its_tasks(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": f"{__name__}.pasted"}
    own, other = owned("billing", "invoices"), owned("ops", "rates")
    member = User.objects.create_user("anna", is_staff=True)
    member.groups.add(Group.objects.create(name="billing"))
    client = Client()
    client.force_login(member)
    assert [client.get(f"{LIST}{task.pk}/change/").status_code for task in (own, other)] == [200, 404]
    assert client.post(f"{LIST}{own.pk}/enabled/", {"enabled": "0"}).status_code == 303
    assert client.post(f"{LIST}{own.pk}/delete/").status_code == 403
    client.force_login(User.objects.create_superuser("root"))
    assert client.get(f"{LIST}{other.pk}/change/").status_code == 200


def test_who_owns_nothing_has_an_empty_list() -> None:
    owned("ops", "hush")
    client = client_of("billing")
    for page in (LIST, f"{LIST}timeline/", f"{LIST}rows/", f"{BASE}taskrun/", f"{BASE}incident/"):
        response = client.get(page)
        assert response.status_code == 200
        assert "hush" not in text_of(response)
