"""What Celery, billiard and Django keep private or do not document, used only here.

Each name has its reason and the version that brought it. ``tests/test_private.py`` has one test per name,
which says what changed when a new version breaks it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

from billiard.pool import SIG_SOFT_TIMEOUT
from celery import Celery, _state
from celery.app.base import pydantic_wrapper
from celery.backends.base import DisabledBackend
from celery.loaders.default import Loader as FallbackLoader
from celery.local import Proxy

__all__ = ["SIG_SOFT_TIMEOUT", "DisabledBackend", "Proxy"]
"""``SIG_SOFT_TIMEOUT`` (billiard 3.3): the signal of a soft time limit, sent again after one that was caught.
``DisabledBackend`` (Celery 3.0): tells that no results are kept, so that none have to be removed.
``Proxy`` (Celery 3.0): what ``@shared_task`` returns, which is no ``Task`` yet."""


def project_app() -> Celery | None:
    """The project's Celery app; None in a process that has not imported one.

    ``celery._state._tls`` and ``default_app`` (Celery 3.0): ``current_app`` would make an empty app where
    there is none, with the loader of ``celery.loaders.default``.
    """
    app = _state._tls.current_app or _state.default_app
    return None if app is None or isinstance(app.loader, FallbackLoader) else app


def namespace(app: Celery) -> str | None:
    """The prefix of the app's settings: ``Celery.namespace`` (Celery 4.0), which is not documented."""
    found: str | None = app.namespace
    return found


def broker_problem(app: Celery) -> str:
    """Why this process cannot use the app's broker, whether that answers or not; empty where it can.

    ``Channel._get_client`` of Kombu's Redis transport (Kombu 3.0): it refuses a redis-py that is too old, but
    only once a connection is made.
    """
    try:
        transport: Any = app.connection_for_write().get_transport_cls()
        if transport.driver_type == "redis":
            transport.Channel._get_client(SimpleNamespace(global_keyprefix=""))
    except Exception as error:  # noqa: BLE001 - what is missing shows in many ways
        return f"{type(error).__name__}: {error}"
    return ""


def active_ids() -> set[str]:
    """Celery ids of the tasks that this worker is running, whatever its pool, and of their roots.

    ``celery.worker.state.active_requests`` (Celery 3.0): ``inspect().active()`` would ask over the broker. A
    web process must not load this module.
    """
    from celery.worker.state import active_requests

    while True:
        try:
            return {id for request in active_requests for id in (request.id, request.root_id)}
        except RuntimeError:  # the set changed meanwhile
            continue


def revoke_here(celery_ids: Collection[str]) -> None:
    """Revoke runs in this worker alone.

    ``celery.worker.state.revoked`` (Celery 3.0): ``control.revoke`` needs the broker, which may be away.
    """
    from celery.worker.state import revoked

    for celery_id in celery_ids:
        if celery_id not in revoked:
            revoked.add(celery_id)


def check_arguments(task: Any, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Raise TypeError when the arguments do not fit the task's signature.

    ``Task.__header__`` (Celery 4.0): what ``apply_async`` calls, unless the task has ``typing=False``. A
    class-based task has none.
    """
    signature = getattr(task, "__header__", None)
    if task.typing and signature is not None:
        signature(*args, **kwargs)


def makes_models(task: Any) -> bool:
    """Whether Celery makes the arguments of this task the pydantic models that its function asks for.

    ``celery.app.base.pydantic_wrapper`` (Celery 5.5): what wraps the function of a task with
    ``pydantic=True``. No attribute tells it.
    """
    functions = [function := task.run]
    while function := getattr(function, "__wrapped__", None):
        functions.append(function)
    wrappers = pydantic_wrapper.__code__.co_consts
    return any(getattr(each, "__code__", None) in wrappers for each in functions)


def typed_cron_field(crontab: Any, name: str) -> str:
    """A field of a ``celery.schedules.crontab`` as it was typed.

    ``crontab._orig_minute`` and so on (Celery 3.0): the public attributes hold expanded sets.
    """
    return str(getattr(crontab, f"_orig_{name}"))


def replacements_before(source: Any) -> int:
    """How many tasks replaced themselves (``self.replace()``) until a request, or the headers of a message.

    ``replaced_task_nesting`` (Celery 5.2): the count that Celery hands from task to task.
    """
    if isinstance(source, Mapping):
        return source.get("replaced_task_nesting") or 0
    return getattr(source, "replaced_task_nesting", 0) or 0


def under_test() -> bool:
    """Whether Django's test environment is set up in this process.

    ``django.test.utils._TestState`` (Django 1.11): ``manage.py test`` and pytest-django fill it before they
    make their databases. ``mail.outbox`` does not tell: the ``locmem`` mail backend makes it in any process.
    """
    state = getattr(sys.modules.get("django.test.utils"), "_TestState", None)
    return hasattr(state, "saved_data")


def forget_json_support(connection: Any) -> None:
    """Let Django ask SQLite again whether it knows JSON.

    ``DatabaseFeatures.supports_json_field`` (Django 3.1): asked once for each connection object. Where
    another process has the file locked at that moment, the answer is no, and it stays no.
    """
    vars(connection.features).pop("supports_json_field", None)
