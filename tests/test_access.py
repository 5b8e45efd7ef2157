"""Who may do what: model permissions by default, one policy callable when set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import ImproperlyConfigured

from scheduled_tasks.access import Action, allowed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_policy(settings: Any) -> None:
    """The example site names a policy of its own."""
    settings.SCHEDULED_TASKS = {}


def request_of(user: Any) -> Any:
    return SimpleNamespace(user=user)


def staff(*codenames: str, **values: Any) -> User:
    user = User.objects.create_user("staff", is_staff=True, **values)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)


def rights(user: Any) -> set[str]:
    return {action.value for action in Action if allowed(request_of(user), action)}


def test_default_is_the_model_permissions() -> None:
    assert rights(AnonymousUser()) == set()
    assert rights(staff()) == set()


@pytest.mark.parametrize(
    ("codenames", "expected"),
    [
        (["view_scheduledtask"], {"view"}),
        (["change_scheduledtask"], {"view", "change"}),
        (["run_scheduledtask"], {"run"}),
        (["view_scheduledtask", "run_scheduledtask"], {"view", "run"}),
        (["view_periodictask", "change_periodictask"], set()),
    ],
)
def test_each_permission_gives_its_action(codenames: list[str], expected: set[str]) -> None:
    assert rights(staff(*codenames)) == expected


def test_inactive_users_may_nothing() -> None:
    assert rights(staff("view_scheduledtask", is_active=False)) == set()
    assert rights(User(username="root", is_superuser=True, is_active=False)) == set()


def test_superusers_may_everything() -> None:
    assert rights(User(username="root", is_superuser=True)) == {"view", "change", "run"}


def only_viewers_named_anna(request: Any, action: str) -> bool:
    return action == "view" and request.user.username == "anna"


def test_policy_replaces_the_permissions_wholly(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": "tests.test_access.only_viewers_named_anna"}
    assert rights(User(username="root", is_superuser=True)) == set()
    assert rights(User(username="anna")) == {"view"}


def test_policy_that_cannot_be_imported_is_an_error_that_names_it(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": "nowhere.at_all"}
    with pytest.raises(ImproperlyConfigured, match=r"nowhere\.at_all"):
        allowed(request_of(User(username="anna")), Action.VIEW)


async def never_awaited(request: Any, action: str) -> bool:
    return False


def test_an_async_policy_lets_nobody_in(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": "tests.test_access.never_awaited"}
    with pytest.raises(ImproperlyConfigured, match="must not be async"):
        allowed(request_of(User(username="anna")), Action.VIEW)
