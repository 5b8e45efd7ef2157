"""Who may do what: model permissions by default, one policy callable when set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import ImproperlyConfigured

from scheduled_tasks.access import Action, allowed, forget_grants, grants, only_granted, takes_task
from scheduled_tasks.models import ScheduledTask
from tests.factories import make_task

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
        (["view_scheduledtask", "add_scheduledtask"], {"view", "add"}),
        (["view_scheduledtask", "delete_scheduledtask"], {"view", "delete"}),
        (["view_periodictask", "change_periodictask"], set()),
    ],
)
def test_each_permission_gives_its_action(codenames: list[str], expected: set[str]) -> None:
    assert rights(staff(*codenames)) == expected


def test_inactive_users_may_nothing() -> None:
    assert rights(staff("view_scheduledtask", is_active=False)) == set()
    assert rights(User(username="root", is_superuser=True, is_active=False)) == set()


def test_superusers_may_everything() -> None:
    assert rights(User(username="root", is_superuser=True)) == {"view", "change", "run", "add", "delete"}


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


def by_name(request: Any, action: str, task: Any = None) -> bool:
    return task is None or (task.name.startswith(request.user.username) and (action != "run" or task.enabled))


def by_keyword(request: Any, action: str, *, task: ScheduledTask | None = None) -> bool:
    """The same policy, of a project that names its arguments."""
    return by_name(request, action, task)


@pytest.mark.parametrize(
    ("policy", "takes"),
    [
        (by_name, True),
        (by_keyword, True),
        (only_viewers_named_anna, False),
        (max, False),
        (lambda *args: True, True),
    ],
)
def test_a_third_argument_makes_a_policy_be_asked_for_each_task(policy: Any, takes: bool) -> None:
    assert takes_task(policy) == takes


@pytest.mark.parametrize("policy", ["by_name", "by_keyword"])
def test_a_policy_grants_single_tasks(policy: str, settings: Any, django_assert_num_queries: Any) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": f"tests.test_access.{policy}"}
    own, off, other = make_task("anna 1"), make_task("anna 2", enabled=False), make_task("bert")
    request = request_of(User(username="anna"))
    assert rights(request.user) == {"view", "change", "run", "add", "delete"}
    with django_assert_num_queries(1):
        found = grants(request)
        assert grants(request) is found
    assert found is not None
    assert found.tasks[Action.VIEW] == found.tasks[Action.DELETE] == {own.pk, off.pk}
    assert found.tasks[Action.RUN] == {own.pk}
    assert found.everything == set()
    seen = only_granted(request, Action.VIEW, ScheduledTask.objects.all())
    assert {task.pk for task in seen} == {own.pk, off.pk}
    ScheduledTask.objects.filter(pk=other.pk).update(name="anna 3")
    forget_grants(request)
    again = grants(request)
    assert again is not None
    assert other.pk in again.tasks[Action.VIEW]


def test_everything_is_more_than_all_that_there_is(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": "tests.test_access.by_name"}
    make_task("anna 1")
    anna, nobody = grants(request_of(User(username="anna"))), grants(request_of(User(username="")))
    assert anna is not None
    assert nobody is not None
    assert anna.everything == set()
    assert Action.VIEW in nobody.everything


def test_a_policy_with_two_arguments_is_not_asked_for_tasks(
    settings: Any, django_assert_num_queries: Any
) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": "tests.test_access.only_viewers_named_anna"}
    with django_assert_num_queries(0):
        assert grants(request_of(User(username="anna"))) is None
