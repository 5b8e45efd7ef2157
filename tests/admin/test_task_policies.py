"""What the drawer tells of a task besides its runs: how it runs, and who changed it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import Permission, User
from django.test import Client

from scheduled_tasks.models import Misfire, Overlap, TaskState, database_now
from scheduled_tasks.worker.task_options import task_options
from tests.factories import make_process, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
WAYS: list[dict[str, str]] = [{}, {"ST-Request": "1"}]


def told(client: Client, task: Any, **headers: str) -> dict[str, str]:
    """The policies by name, of the page or the drawer."""
    text = client.get(f"{LIST}{task.pk}/change/", headers=headers).content.decode()
    part = re.search(r'<details id="st-d-policies" .*?</details>', text, re.DOTALL)[0]  # type: ignore[index]
    return dict(re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", part))


@pytest.mark.parametrize("headers", WAYS, ids=["page", "drawer"])
def test_policies_of_the_project_are_told_in_plain_words(
    admin_client: Client, settings: Any, headers: dict[str, str]
) -> None:
    make_process(task_queues={"tests.add": "mail"})
    assert told(admin_client, make_task(), **headers) == {
        "While a run is open": "Skip the new run",
        "Missed times": "Run once, up to 15 min late",
        "Queued runs expire": "after two intervals as a rule: 1 to 15 min, or until the next one is due",
        "Runs are kept": "90 days",
        "Queue": "mail",
        "Celery task": "tests.add",
        "Comes from": "Made here",
    }
    settings.SCHEDULED_TASKS = {"MISFIRE": "ignore", "OVERLAP": "allow", "RETENTION_COUNT": 500}
    found = told(admin_client, make_task("other"), **headers)
    assert found["While a run is open"] == "Run both"
    assert found["Missed times"] == "Do not run them"
    assert found["Queued runs expire"] == "when the next one is due, after 15 min at the earliest"
    assert found["Runs are kept"] == "90 days, the newest 500 at most"


@pytest.mark.parametrize("headers", WAYS, ids=["page", "drawer"])
def test_policies_of_the_task_win(admin_client: Client, settings: Any, headers: dict[str, str]) -> None:
    settings.SCHEDULED_TASKS = {"OVERLAP": "allow", "MAX_RUNTIME": timedelta(hours=9)}
    task = make_task(queue="fast", expire_seconds=90, priority=3)
    TaskState.objects.create(
        task_id=task.pk,
        overlap=Overlap.QUEUE_ONE,
        misfire=Misfire.RUN_ONCE,
        grace=timedelta(hours=2),
        max_runtime=timedelta(minutes=5),
        retention=timedelta(hours=36),
        retention_count=7,
    )
    found = told(admin_client, task, **headers)
    assert found == {
        "While a run is open": "Hold one run until the other ends",
        "Missed times": "Run once, up to 2 h late",
        "Queued runs expire": "after 90 s",
        "Longest run time": "5 min",
        "Runs are kept": "36 h, the newest 7 at most",
        "Queue": "fast",
        "Priority": "3",
        "Celery task": "tests.add",
        "Comes from": "Made here",
    }


def test_what_is_no_number_of_seconds_is_told_as_it_is(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded = current_app.tasks["celery.accumulate"]
    monkeypatch.setattr(coded, "expires", 1e300, raising=False)
    monkeypatch.setattr(coded, "time_limit", timedelta(minutes=5), raising=False)
    make_process(task_names=["celery.accumulate"], task_options=task_options(current_app))
    found = told(admin_client, make_task(task="celery.accumulate"))
    assert found["Queued runs expire"].startswith("after two intervals as a rule")
    assert found["Time limit"] == "0:05:00"


@pytest.mark.parametrize("headers", WAYS, ids=["page", "drawer"])
def test_options_of_the_code_are_told_as_the_workers_know_them(
    admin_client: Client, headers: dict[str, str]
) -> None:
    """Whatever code this process has loaded: each web process has loaded other tasks, or none."""
    task = make_task(task="shop.coded")
    assert current_app.tasks.get("shop.coded") is None
    found = told(admin_client, task, **headers)
    assert found["Queued runs expire"].endswith("is due, unless the task&#x27;s code says otherwise")
    assert "Time limit" not in found
    codes = [
        {"expires": 120, "soft_time_limit": 60, "time_limit": 90},
        {"expires": "2030-01-31T12:00:00+00:00"},
    ]
    for seen, options in zip((20, 10), codes, strict=True):
        make_process(silent=seen, task_names=["shop.coded"], task_options={"shop.coded": options})
        found = told(admin_client, task, **headers)
        if seen == 20:
            assert found["Queued runs expire"] == "after 2 min"
            assert (found["Soft time limit"], found["Time limit"]) == ("1 min", "90 s")
    assert found["Queued runs expire"] == "Thu 31 Jan 2030, 12:00 UTC"  # of the worker that started last
    assert "Time limit" not in found
    task.expire_seconds = 30
    task.save()
    assert told(admin_client, task, **headers)["Queued runs expire"] == "after 30 s"


def test_the_projects_time_limit_holds_where_the_code_sets_none(admin_client: Client) -> None:
    make_process()
    conf, before = current_app.conf, current_app.conf.task_time_limit
    conf.task_time_limit = 300
    try:
        assert told(admin_client, make_task())["Time limit"] == "5 min"
    finally:
        conf.task_time_limit = before


def test_the_end_of_a_task_is_told(admin_client: Client) -> None:
    ends = database_now() + timedelta(days=9)
    assert f"{ends:%Y, %H:%M}" in told(admin_client, make_task(expires=ends))["Not after"]


@pytest.mark.parametrize("headers", WAYS, ids=["page", "drawer"])
def test_function_is_told_where_this_process_knows_it(admin_client: Client, headers: dict[str, str]) -> None:
    task = make_task(task="shop.sync")

    @current_app.task(name="shop.sync", shared=False, time_limit=90)
    def sync_rates() -> None:
        """Fetch the ``rates <today>``.

        Nobody reads this.
        """

    try:
        found = told(admin_client, task, **headers)
        text = admin_client.get(f"{LIST}{task.pk}/change/", headers=headers).content.decode()
    finally:
        current_app.tasks.unregister("shop.sync")
    assert found["Celery task"] == "shop.sync"
    assert found["Function"].startswith(f"{__name__}.test_function_is_told")
    assert found["Function"].endswith(".sync_rates")
    assert "Time limit" not in found  # which workers tell
    assert "Fetch the rates &lt;today&gt;." in text
    assert "Nobody reads this" not in text
    assert "Function" not in told(admin_client, task, **headers)


def changes(client: Client, task: Any) -> str:
    text = client.get(f"{LIST}{task.pk}/change/").content.decode()
    part = re.search(r'<details id="st-d-changes">.*?</details>', text, re.DOTALL)[0]  # type: ignore[index]
    return " ".join(re.sub(r"<[^>]*>", " ", part).split())


def test_changes_are_told_newest_first_with_schedules_in_plain_words(
    admin_client: Client, admin_user: User
) -> None:
    task = make_task()
    assert "Nobody has changed it." in changes(admin_client, task)
    admin_client.post(f"{LIST}{task.pk}/schedule/", {"cron": "0 5 * * *", "zone": "Europe/Paris"})
    admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": "<b>why"})
    text = changes(admin_client, task)
    first, second = "Disabled: &lt;b&gt;why", "Schedule: 0 3 * * * (UTC) → 0 5 * * * (Europe/Paris)."
    assert text.index(first) < text.index(second)
    assert f"{second} Daily at 3 AM → Daily at 5 AM Restore by admin" in text
    admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "1"})
    assert "Enabled." in changes(admin_client, task)


def test_drawer_follows_a_change(admin_client: Client) -> None:
    task = make_task()
    url, script = f"{LIST}{task.pk}/change/", {"ST-Request": "1"}
    version = re.search(r'data-version="([^"]*)"', admin_client.get(url, headers=script).content.decode())[1]  # type: ignore[index]
    known = {**script, "If-None-Match": version.replace("&quot;", '"')}
    assert admin_client.get(url, headers=known).status_code == 304
    admin_client.post(f"{LIST}{task.pk}/skip/", {"skip": "1"})
    assert admin_client.get(url, headers=known).status_code == 200


@pytest.mark.parametrize(
    ("rights", "shown"),
    [
        ([], set()),
        (["change_scheduledtask"], {"edit", "enabled"}),
        (["run_scheduledtask"], {"run"}),
        (["change_scheduledtask", "run_scheduledtask"], {"edit", "enabled", "run"}),
    ],
)
@pytest.mark.parametrize("headers", WAYS, ids=["page", "drawer"])
def test_actions_are_those_one_may_do(
    client: Client, settings: Any, rights: list[str], shown: set[str], headers: dict[str, str]
) -> None:
    settings.SCHEDULED_TASKS = {}
    user = User.objects.create_user("eve", is_staff=True)
    names = ["view_scheduledtask", *rights]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    text = client.get(f"{LIST}{make_task().pk}/change/", headers=headers).content.decode()
    assert set(re.findall(r'id="st-d-(edit|enabled|run)"', text)) == shown
    assert ("/runs/new/" in text) == ("run" in shown)


def test_a_task_that_runs_as_before_says_so_and_offers_the_projects_policies(
    admin_client: Client, settings: Any
) -> None:
    task = make_task()
    make_process()
    TaskState.objects.create(task_id=task.pk, runs_as_before=True)
    url = f"{LIST}{task.pk}/policies/"
    found = told(admin_client, task)
    assert (found["While a run is open"], found["Queued runs expire"]) == ("Run both", "never")
    assert f'action="{url}"' in admin_client.get(f"{LIST}{task.pk}/change/").content.decode()
    settings.SCHEDULED_TASKS = {"OVERLAP": "queue_one"}  # the project has chosen for all
    assert told(admin_client, task)["While a run is open"] == "Hold one run until the other ends"
    del settings.SCHEDULED_TASKS
    response = admin_client.post(url, follow=True)
    assert "purge follows the project&#x27;s policies now." in response.content.decode()
    assert told(admin_client, task)["While a run is open"] == "Skip the new run"
    assert url not in admin_client.get(f"{LIST}{task.pk}/change/").content.decode()


def test_who_may_only_view_is_not_offered_them(client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {}
    task = make_task()
    TaskState.objects.create(task_id=task.pk, runs_as_before=True)
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_scheduledtask"))
    client.force_login(viewer)
    text = client.get(f"{LIST}{task.pk}/change/").content.decode()
    assert "as it did before" in text
    assert "/policies/" not in text
