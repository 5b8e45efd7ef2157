"""Who may see, change, run, add and delete scheduled tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from inspect import iscoroutinefunction, signature
from typing import cast

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string

from .conf import settings
from .models import ScheduledTask, ScheduledTaskQuerySet

Policy = Callable[..., bool]
"""A function ``(request, action) -> bool`` or ``(request, action, task=None) -> bool``."""


class Action(StrEnum):
    """What access is asked for."""

    VIEW = "view"
    CHANGE = "change"
    RUN = "run"
    ADD = "add"
    DELETE = "delete"


PERMISSIONS: dict[Action, tuple[str, ...]] = {
    Action.VIEW: ("scheduled_tasks.view_scheduledtask", "scheduled_tasks.change_scheduledtask"),
    Action.CHANGE: ("scheduled_tasks.change_scheduledtask",),
    Action.RUN: ("scheduled_tasks.run_scheduledtask",),
    Action.ADD: ("scheduled_tasks.add_scheduledtask",),
    Action.DELETE: ("scheduled_tasks.delete_scheduledtask",),
}
"""The model permissions of which any one allows an action, as in the Django admin."""


def allowed(request: HttpRequest, action: Action, *also: str) -> bool:
    """Whether the request's user may do ``action``: what ``ACCESS_POLICY`` says, else model permissions.

    ``also`` are further permissions of which any one allows it.
    Raises ImproperlyConfigured as :func:`access_policy` does.
    """
    policy = access_policy()
    if policy is not None:
        return _says_yes(policy, request, action)
    user = request.user
    return user.is_active and any(user.has_perm(name) for name in (*PERMISSIONS[action], *also))


@dataclass(frozen=True)
class Grants:
    """What a policy that takes a task grants to one request."""

    tasks: Mapping[Action, frozenset[int]]
    """Keys of the tasks for which an action is granted; those that may not be viewed are in none of them."""
    everything: frozenset[Action]
    """Actions that are granted for every task and for one without a name: for those gone and to come."""


def grants(request: HttpRequest) -> Grants | None:
    """What the policy says of each task; None for one that takes no task. It is asked once per request."""
    if not hasattr(request, "scheduled_tasks_grants"):
        request.scheduled_tasks_grants = _read_grants(request)  # type: ignore[attr-defined]
    return cast("Grants | None", request.scheduled_tasks_grants)  # type: ignore[attr-defined]


def forget_grants(request: HttpRequest) -> None:
    """Have the policy asked again, after a task was changed."""
    vars(request).pop("scheduled_tasks_grants", None)


def only_granted(request: HttpRequest, action: Action, tasks: ScheduledTaskQuerySet) -> ScheduledTaskQuerySet:
    """Those of the tasks for which the policy grants ``action``; all where it takes no task."""
    found = grants(request)
    if found is None or action in found.everything:
        return tasks
    return tasks.filter(pk__in=found.tasks[action])


def _read_grants(request: HttpRequest) -> Grants | None:
    policy = access_policy()
    ask = None if policy is None else _of_tasks(policy)
    if ask is None:
        return None
    every = [*ScheduledTask.objects.select_related("scheduled_state").order_by("pk"), ScheduledTask()]
    seen, found = every, {}
    for action in Action:  # the first is VIEW
        may = ask(request, action, None)
        found[action] = [task for task in seen if may and ask(request, action, task)]
        seen = found[Action.VIEW]
    return Grants(
        tasks={action: frozenset(each.pk for each in tasks if each.pk) for action, tasks in found.items()},
        everything=frozenset(action for action, tasks in found.items() if len(tasks) == len(every)),
    )


def _says_yes(policy: Policy, request: HttpRequest, action: Action) -> bool:
    """Whether the user may do ``action`` at all."""
    ask = _of_tasks(policy)
    return bool(policy(request, action.value)) if ask is None else ask(request, action, None)


def _of_tasks(policy: Policy) -> Callable[[HttpRequest, Action, ScheduledTask | None], bool] | None:
    """The policy as a function of a task, taken by position or by name; None where it takes none."""
    if _takes(policy, None):
        return lambda request, action, task: bool(policy(request, action.value, task))
    if _takes(policy, task=None):
        return lambda request, action, task: bool(policy(request, action.value, task=task))
    return None


def takes_task(policy: Policy) -> bool:
    """Whether a policy has a third argument, and so is asked for each task."""
    return _of_tasks(policy) is not None


def _takes(policy: Policy, *more: None, **named: None) -> bool:
    try:
        signature(policy).bind(None, Action.VIEW.value, *more, **named)
    except (TypeError, ValueError):  # ValueError: a builtin without a signature
        return False
    return True


def access_policy() -> Policy | None:
    """The callable ``SCHEDULED_TASKS["ACCESS_POLICY"]`` names, or None when it is None or empty text.

    Raises ImproperlyConfigured when it cannot be imported, or is async.
    """
    path = settings.ACCESS_POLICY
    if path is None or path == "":
        return None
    if not isinstance(path, str):
        raise ImproperlyConfigured('SCHEDULED_TASKS["ACCESS_POLICY"] is not a dotted path.')
    try:
        policy = cast(Policy, import_string(path))
    except ImportError as error:
        message = f'SCHEDULED_TASKS["ACCESS_POLICY"] = {path!r} cannot be imported: {error}'
        raise ImproperlyConfigured(message) from error
    if iscoroutinefunction(policy):  # what it returns is never awaited, and would allow everything
        raise ImproperlyConfigured(f'SCHEDULED_TASKS["ACCESS_POLICY"] = {path!r} must not be async.')
    return policy
