"""What an address or a form may not do: filter by fields, disable by nothing, reach every task at once."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.test import Client

from scheduled_tasks.admin import bulk_actions
from scheduled_tasks.models import ScheduledTask, TaskRun
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

BASE = "/admin/scheduled_tasks/"
LIST = f"{BASE}scheduledtask/"
LOOKUPS = (
    'kwargs__regex="password": "h', "args__contains=s", "headers__startswith={", "task=%00",
    "description__regex=(a%2B)%2B$", "task=tests.add", "name=purge", "enabled__exact=1",
    "scheduled_state__pause_note__regex=x",
    "crontab__timezone=UTC", "id__in=1", "total_run_count__gt=0", "pk=1", "_to_field=name", "state__regex=x",
)  # fmt: skip


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("tail", ["", "rows/"])
def test_no_field_is_read_by_an_address(admin_client: Client, lookup: str, tail: str) -> None:
    make_task(kwargs='{"password": "hunter2"}')
    answer = admin_client.get(f"{LIST}{tail}?{quote(lookup, safe='=%&')}")
    assert answer.status_code == 400


@pytest.mark.parametrize("lookup", ["state=failing", "q=purge", "o=-1", "p=1", "all=", "_popup=1", "e=1"])
def test_the_pages_own_parameters_go_on(admin_client: Client, lookup: str) -> None:
    make_task()
    assert admin_client.get(f"{LIST}?{lookup}").status_code == 200


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_runs_are_read_by_no_field_either(admin_client: Client, lookup: str) -> None:
    run = make_run(make_task(), args='["secret"]')
    answer = admin_client.get(f"{BASE}taskrun/?{quote(lookup, safe='=%&')}")
    assert answer.status_code == 200
    assert (f'id="st-run-{run.pk}"' in answer.content.decode()) or lookup.startswith("task=")


@pytest.mark.parametrize(("tail", "sent"), [("enabled", {}), ("enabled", {"enabled": "x"}), ("skip", {})])
def test_an_empty_form_changes_nothing(admin_client: Client, tail: str, sent: dict[str, str]) -> None:
    task = make_task()
    assert admin_client.post(f"{LIST}{task.pk}/{tail}/", sent).status_code == 400
    task.refresh_from_db()
    assert task.enabled


@pytest.mark.parametrize("key", ["9" * 19, "9" * 40, str(2**63 - 1)])
def test_keys_that_no_row_has_are_not_found(admin_client: Client, key: str) -> None:
    for tail in ("change", "schedule", "schedule/preview", "pause", "runs/new"):
        assert admin_client.get(f"{LIST}{key}/{tail}/").status_code == 404, tail
    for tail in ("enabled", "skip", "default", "runs", "schedule"):
        assert admin_client.post(f"{LIST}{key}/{tail}/", {"enabled": "0"}).status_code == 404, tail
    for tail in ("retry", "cancel"):
        assert admin_client.post(f"{BASE}taskrun/{key}/{tail}/").status_code == 404, tail
    assert admin_client.get(f"{BASE}taskrun/{key}/change/").status_code == 404


def test_an_action_on_all_tasks_is_bounded(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_actions, "MOST_TASKS", 2)
    first, *_others = (make_task(f"task {n}") for n in range(3))
    sent = {"action": "disable_selected", "_selected_action": first.pk, "index": "0", "select_across": "1"}
    answer = admin_client.post(LIST, sent, follow=True)
    assert "select at most 2 tasks" in answer.content.decode()
    assert ScheduledTask.objects.filter(enabled=True).count() == 3


def test_no_client_chooses_a_celery_id(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from scheduled_tasks.operations import publishing

    monkeypatch.setattr(publishing, "send", lambda *_args: None)
    task, foreign = make_task(), "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
    for _ in range(2):
        admin_client.post(f"{LIST}{task.pk}/runs/", {"run": foreign})
    run = TaskRun.objects.get()
    assert run.celery_id != foreign
