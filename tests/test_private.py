"""What scheduled_tasks/private.py relies on. A failure says what Celery or Django changed."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import billiard.pool
import pytest
from celery import Celery, Task, current_app, schedules, shared_task
from celery.app.amqp import AMQP
from celery.worker import state
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.utils.functional import cached_property

from scheduled_tasks import private
from tests import tasks

WITHOUT_APP = """
from scheduled_tasks.private import project_app

assert project_app() is None, "importing the package makes a Celery app"
from celery import current_app

current_app.main
assert project_app() is None, "the empty app that Celery makes is not told from a project's"
from celery import Celery

app = Celery("acme")
assert project_app() is app, "celery._state._tls.current_app is not the app that a project makes"
"""


def test_project_app() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_APP], check=False, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


def test_project_app_in_another_thread() -> None:
    from celery import _state

    assert _state.default_app is current_app._get_current_object(), (
        "Celery no longer makes the app of a Django project the default: other threads do not find it"
    )


def test_namespace() -> None:
    app = Celery("acme", set_as_current=False)
    assert private.namespace(app) is None, "Celery.namespace is not None for an app without configuration"
    app.config_from_object("django.conf:settings", namespace="ACME")
    assert private.namespace(app) == "ACME", "config_from_object() no longer keeps its namespace"


class Request:
    """As much of Celery's own as ``task_accepted()`` reads; may be referenced weakly."""

    id, root_id, name = "a-run", "a-root", "a.task"


@pytest.mark.parametrize("scheme", ["redis", "rediss", "sentinel"])
def test_broker_problem(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("acme", set_as_current=False, broker=f"{scheme}://127.0.0.1:1")
    assert private.broker_problem(app) == "", "Channel._get_client() needs more than a global_keyprefix"
    monkeypatch.setattr("redis.VERSION", (3, 0, 0))
    assert "redis-py" in private.broker_problem(app), "Channel._get_client() no longer asks for redis.VERSION"


def test_active_ids() -> None:
    request = Request()
    state.task_accepted(request)
    try:
        assert private.active_ids() == {"a-run", "a-root"}, (
            "task_accepted() no longer adds to active_requests"
        )
    finally:
        state.task_ready(request)
    assert private.active_ids() == set(), "task_ready() no longer removes from active_requests"


def test_revoke_here() -> None:
    private.revoke_here(["a-run"])
    try:
        assert "a-run" in state.revoked, "celery.worker.state.revoked no longer takes ids"
    finally:
        state.revoked.pop("a-run")
    from celery.worker import request

    assert request.revoked_tasks is state.revoked, "requests are no longer checked against this set"


def test_check_arguments() -> None:
    private.check_arguments(tasks.add, [1, 2], {})
    with pytest.raises(TypeError):
        private.check_arguments(tasks.add, [1], {})
    app = Celery("acme", set_as_current=False)

    @app.task(typing=False)
    def untyped(x: int) -> None: ...

    private.check_arguments(untyped, [], {})


@pytest.mark.parametrize("name", ["minute", "hour", "day_of_week", "day_of_month", "month_of_year"])
def test_typed_cron_field(name: str) -> None:
    crontab = schedules.crontab(**{name: "*/5"})
    assert private.typed_cron_field(crontab, name) == "*/5", f"crontab._orig_{name} is not what was typed"


def test_a_request_that_is_a_replacement() -> None:
    from celery.app.task import Context

    assert not private.replacements_before(Context())
    assert private.replacements_before(Context(replaced_task_nesting=1)), (
        "a request no longer counts replacements"
    )


def test_a_message_that_is_a_replacement() -> None:
    app = Celery("acme", set_as_current=False)
    headers = AMQP(app).as_task_v2("id", "name", replaced_task_nesting=1).headers
    assert private.replacements_before(headers), "messages no longer carry replaced_task_nesting"
    assert not private.replacements_before(AMQP(app).as_task_v2("id", "name").headers)


def test_under_test() -> None:
    assert private.under_test(), "setup_test_environment() no longer fills _TestState.saved_data"
    code = "from scheduled_tasks.private import under_test; import django.test.utils; assert not under_test()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_sig_soft_timeout() -> None:
    assert private.SIG_SOFT_TIMEOUT in signal.valid_signals(), "it is no signal of this machine"
    assert billiard.pool.SIG_SOFT_TIMEOUT == getattr(signal, "SIGUSR1", None), (
        "soft time limits use another signal"
    )


def test_disabled_backend() -> None:
    app = Celery("acme", set_as_current=False)
    assert isinstance(app.backend, private.DisabledBackend), "an app without result backend has another class"


def test_proxy() -> None:
    @shared_task(name="tests.private.shared")
    def shared() -> None: ...

    try:
        assert issubclass(type(shared), private.Proxy), "@shared_task returns something else"
        assert isinstance(shared, Task)
    finally:
        current_app.tasks.pop("tests.private.shared", None)


def test_forget_json_support(monkeypatch: pytest.MonkeyPatch) -> None:
    features = DatabaseWrapper({"NAME": ":memory:", "OPTIONS": {}}).features
    assert isinstance(inspect.getattr_static(type(features), "supports_json_field"), cached_property)
    monkeypatch.setitem(vars(features), "supports_json_field", False)
    private.forget_json_support(features.connection)
    assert "supports_json_field" not in vars(features)


def test_makes_models() -> None:
    app = Celery("acme", set_as_current=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pydantic", SimpleNamespace(BaseModel=type("BaseModel", (), {})))
        own = {"shared": False, "autoretry_for": (OSError,)}  # a shared task would be made for every app
        made = app.task(name="made", lazy=False, pydantic=True, **own)(inspect.unwrap)
    assert private.makes_models(made), (
        "celery.app.base.pydantic_wrapper no longer wraps the function of a task"
    )
    assert not private.makes_models(app.task(name="plain", **own)(inspect.unwrap))
