"""Who acts, under a name of any type."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client

from scheduled_tasks import operations
from scheduled_tasks.models import ScheduledTask, TaskRun
from scheduled_tasks.operations import Actor, publishing
from tests.factories import make_task

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [
    (4711, "4711"),
    (0, "0"),
    (UUID(int=1), str(UUID(int=1))),
    ("", ""),
    (None, ""),
    ("a" * 300, "a" * 150),
    ("a\x00b", "a\N{REPLACEMENT CHARACTER}b"),
    (b"ada", "b'ada'"),
]


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_name_is_a_text(name: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "send", lambda *args, **kwargs: None)
    actor = Actor(name, lambda task, text: None)
    task = make_task()
    assert operations.run_now(task.pk, actor=actor, celery_id="a").actor == text
    operations.cancel(TaskRun.objects.get().pk, actor=actor)
    assert operations.disable(task.pk, actor=actor).state.paused_by_name == text


@pytest.mark.parametrize("name", [4711, 0, UUID(int=1), "", None])
def test_user_with_such_a_name_uses_the_page(
    name: Any, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(User, "get_username", lambda self: name)
    monkeypatch.setattr(publishing, "send", lambda *args, **kwargs: None)
    task = make_task()
    page = f"/admin/scheduled_tasks/scheduledtask/{task.pk}"
    for address, data in (("runs/", {}), ("enabled/", {"enabled": "0", "note": "x"})):
        assert admin_client.post(f"{page}/{address}", data).status_code in (200, 302, 303)
    task = ScheduledTask.objects.get(pk=task.pk)
    user = User.objects.get(username="admin")
    assert not task.enabled
    assert task.state.paused_by_name == TaskRun.objects.get().actor == (str(name) if name else f"#{user.pk}")
    assert admin_client.get("/admin/scheduled_tasks/scheduledtask/").status_code == 200
