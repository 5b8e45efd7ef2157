"""Every address that is about a task, for people who may do all to it, see it, or neither."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django_celery_beat.models import PeriodicTask

from scheduled_tasks.models import MaintenanceTask, MaintenanceWindow, TaskState
from tests.admin.addresses import (
    ADD,
    ADDRESSES,
    INCIDENTS,
    NO_ONE,
    NOBODY,
    STAFF,
    VIEW,
    WAYS,
    Ask,
    Rows,
    filled,
)
from tests.admin.test_matrix import address, everything_stored, no_broker, rows

pytestmark = pytest.mark.django_db

__all__ = ["no_broker", "rows"]

ABOUT_TASKS = [name for name, (whose, _get, _posts) in ADDRESSES.items() if whose != NO_ONE]


def by_owner(request: Any, action: str, task: Any = None) -> bool:
    """Owners may everything, "viewer" sees all."""
    name = request.user.get_username()
    return task is None or task.state.owner == name or (name == "viewer" and action == "view")


@pytest.fixture(params=["owner", "viewer", "stranger"])
def who(request: pytest.FixtureRequest, settings: Any, rows: Rows) -> str:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": f"{__name__}.by_owner"}
    for task in PeriodicTask.objects.all():
        TaskState.objects.update_or_create(task_id=task.pk, defaults={"owner": "owner"})
        MaintenanceTask.objects.create(window=MaintenanceWindow.objects.get(by="anna"), task_id=task.pk)
    MaintenanceWindow.objects.update(covers_all=False)
    return str(request.param)


@pytest.fixture
def client(who: str) -> Client:
    client = Client()
    client.force_login(User.objects.create_user(who, is_staff=True))
    return client


def expected(who: str, ask: Ask) -> tuple[int, ...]:
    if ask.needs is None:
        return (405,)
    if ask.needs == NOBODY:
        return (403,)
    if ask.needs == STAFF:
        return (302,)
    if who == "stranger":
        return (404, 302)  # Django's history leads away from what is not there
    if who == "viewer" and ask.needs not in (VIEW, INCIDENTS):
        return (403,)
    return (200, 302, 303)


@pytest.mark.parametrize("way", WAYS)
def test_get(client: Client, who: str, rows: Rows, way: str) -> None:
    before = everything_stored()
    for name in ABOUT_TASKS:
        ask = ADDRESSES[name][1]
        response = client.get(address(name, rows), ask.data, headers=WAYS[way])
        assert response.status_code in expected(who, ask), name
    assert everything_stored() == before


@pytest.mark.parametrize("way", WAYS)
def test_post(client: Client, who: str, rows: Rows, way: str) -> None:
    for name, (whose, _get, posts) in ADDRESSES.items():
        for ask in posts:
            with transaction.atomic():
                before = everything_stored()
                response = client.post(address(name, rows), filled(ask, rows), headers=WAYS[way])
                if whose != NO_ONE:
                    assert response.status_code in expected(who, ask), name
                if whose != NO_ONE or (who != "owner" and ask.needs != ADD):
                    may = who == "owner" and ask.changes
                    assert (everything_stored() != before) == may, (name, ask)
                transaction.set_rollback(True)
