"""Who may see, change and run scheduled tasks."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from inspect import iscoroutinefunction
from typing import cast

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.module_loading import import_string

from .conf import settings

Policy = Callable[[HttpRequest, str], bool]


class Action(StrEnum):
    """What access is asked for."""

    VIEW = "view"
    CHANGE = "change"
    RUN = "run"


PERMISSIONS: dict[Action, tuple[str, ...]] = {
    Action.VIEW: ("scheduled_tasks.view_scheduledtask", "scheduled_tasks.change_scheduledtask"),
    Action.CHANGE: ("scheduled_tasks.change_scheduledtask",),
    Action.RUN: ("scheduled_tasks.run_scheduledtask",),
}
"""The model permissions of which any one allows an action, as in the Django admin."""


def allowed(request: HttpRequest, action: Action, *also: str) -> bool:
    """Whether the request's user may do ``action``: what ``ACCESS_POLICY`` says, else model permissions.

    ``also`` are further permissions of which any one allows it.
    Raises ImproperlyConfigured as :func:`access_policy` does.
    """
    policy = access_policy()
    if policy is not None:
        return bool(policy(request, action.value))
    user = request.user
    return user.is_active and any(user.has_perm(name) for name in (*PERMISSIONS[action], *also))


def access_policy() -> Policy | None:
    """The callable ``SCHEDULED_TASKS["ACCESS_POLICY"]`` names, or None when the setting is empty.

    Raises ImproperlyConfigured when it cannot be imported, or is async.
    """
    path = settings.ACCESS_POLICY
    if not path:
        return None
    try:
        policy = cast(Policy, import_string(path))
    except ImportError as error:
        message = f'SCHEDULED_TASKS["ACCESS_POLICY"] = {path!r} cannot be imported: {error}'
        raise ImproperlyConfigured(message) from error
    if iscoroutinefunction(policy):  # what it returns is never awaited, and would allow everything
        raise ImproperlyConfigured(f'SCHEDULED_TASKS["ACCESS_POLICY"] = {path!r} must not be async.')
    return policy
