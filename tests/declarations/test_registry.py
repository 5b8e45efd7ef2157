"""``@scheduled_task``: what it accepts, what it refuses, and that it makes no Celery app."""

import functools
import importlib
import inspect
import re
import subprocess
import sys
from datetime import date, timedelta

import pytest
from celery import Celery, Task, shared_task
from celery.app.autoretry import add_autoretry_behaviour
from celery.app.task import extract_exec_options

from scheduled_tasks import models, scheduled_task, validation
from scheduled_tasks.declarations import registry
from scheduled_tasks.declarations.decorator import check_known
from scheduled_tasks.declarations.registry import WrongDeclaration
from scheduled_tasks.validation import ALERT_POLICY


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    """An empty registry for the test; the declarations by name."""
    names = {}
    monkeypatch.setattr(registry, "definitions", names)
    return names


def job(*args, **kwargs):
    return (args, kwargs)


def test_declares_a_function(declared):
    @scheduled_task(
        "*/15 * * * MON",
        name="webhook-delivery-retry",
        description="Retries failed webhook deliveries",
        timezone="Europe/Paris",
        overlap="allow",
        misfire="ignore",
        grace=timedelta(minutes=5),
        spread=timedelta(minutes=2),
        retention=timedelta(days=7),
        retention_count=50,
        alert_after=3,
        recover_after=2,
        max_runtime=timedelta(minutes=10),
        alert_on=["slow", "failing"],
        owner="billing",
        runbook="https://wiki.example.com/webhooks",
        tags=["nightly", "billing", "nightly"],
        args=(1, "two"),
        kwargs={"batch": 100},
        queue="webhooks",
        priority=3,
        expires=timedelta(minutes=2),
        soft_time_limit=240,
    )
    def retry_webhooks(*args, **kwargs):
        return (args, kwargs)

    definition = declared["webhook-delivery-retry"]
    assert definition.values == {
        "schedule": "*/15 * * * 1",
        "timezone": "Europe/Paris",
        "enabled": True,
        "overlap": "allow",
        "misfire": "ignore",
        "grace": 300,
        "spread": 120,
        "retention": 7 * 86400,
        "retention_count": 50,
        "alert_after": 3,
        "recover_after": 2,
        "max_runtime": 600,
        "alert_on": "failing,slow",
        "owner": "billing",
        "runbook": "https://wiki.example.com/webhooks",
        "tags": "nightly,billing",
        "description": "Retries failed webhook deliveries",
        "args": [1, "two"],
        "kwargs": {"batch": 100},
        "queue": "webhooks",
        "priority": 3,
        "expires": 120,
    }
    assert definition.task_name == f"{__name__}.retry_webhooks"
    assert retry_webhooks(1, a=2) == ((1,), {"a": 2})
    assert retry_webhooks.soft_time_limit == 240
    assert callable(retry_webhooks.delay)
    assert retry_webhooks.s(1).task == definition.task_name


def test_defaults_leave_the_choice_to_the_settings(declared):
    @scheduled_task("@daily")
    def purge_old_rows():
        pass

    values = declared["purge-old-rows"].values
    unsaid = (
        "timezone",
        "overlap",
        "misfire",
        "grace",
        "spread",
        "retention",
        "retention_count",
        *ALERT_POLICY,
    )
    assert [values[name] for name in unsaid] == [None] * len(unsaid)
    assert (values["queue"], values["priority"], values["expires"]) == (None, None, None)
    assert (values["enabled"], values["description"]) == (True, "")
    assert (values["args"], values["kwargs"]) == ([], {})


def test_what_is_logged_is_kept_unless_the_task_says_otherwise(declared):
    @scheduled_task("@daily", capture_logs=False)
    def quiet():
        pass

    @scheduled_task("@daily", capture_logs=True)
    def usual():
        pass

    assert quiet.capture_logs is False
    assert not hasattr(usual, "capture_logs")


def test_celery_task_that_is_not_schedulable_says_so(declared):
    @scheduled_task("@daily", schedulable=False)
    def internal():
        pass

    assert internal.schedulable is False


def test_task_name_is_celerys(declared):
    scheduled_task("@daily", name="purge", task_name="tests.purge_by_name")(job)
    assert declared["purge"].task_name == "tests.purge_by_name"


def test_stacks_with_the_options_on_the_innermost(declared):
    @scheduled_task("0 3 * * *", name="nightly", kwargs={"deep": True})
    @scheduled_task("@hourly", soft_time_limit=9)
    def sweep(deep=False):
        return deep

    assert sorted(declared) == ["nightly", "sweep"]
    assert declared["nightly"].task_name == declared["sweep"].task_name == f"{__name__}.sweep"
    assert sweep(deep=True) is True


def test_accepts_an_existing_task(declared):
    proxy = shared_task(name="tests.existing_shared")(job)
    app = Celery("elsewhere", set_as_current=False)
    lazy = app.task(name="tests.existing_lazy")(job)
    whole = app.task(name="tests.existing_whole", lazy=False)(job)
    for number, task in enumerate((proxy, lazy, whole)):
        assert scheduled_task("@daily", name=f"existing-{number}")(task) is task
    assert [definition.task_name for definition in declared.values()] == [
        "tests.existing_shared",
        "tests.existing_lazy",
        "tests.existing_whole",
    ]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"schedule": "0 25 * * *"}, "hour: 25 is out of range (0-23)."),
        ({"schedule": None}, "Enter a cron expression."),
        ({"schedule": timedelta(hours=1)}, "A cron expression is text"),
        ({"timezone": "Europe/Pariss"}, 'timezone "Europe/Pariss" is not known'),
        ({"timezone": "../etc/passwd"}, "is not known"),
        ({"timezone": ""}, "is not known"),
        ({"timezone": 5}, "timezone must be text"),
        ({"name": ""}, "name is empty"),
        ({"name": "n" * 201}, "name has 201 characters; 200 is the most."),
        ({"name": 5}, "name must be text"),
        ({"task_name": ""}, "task_name is empty"),
        ({"description": None}, "description must be text"),
        ({"enabled": 1}, "enabled must be True or False"),
        ({"capture_logs": "no"}, "capture_logs must be True or False"),
        ({"overlap": "queue"}, "choose one of skip, allow, queue_one."),
        ({"misfire": "run"}, "choose one of run_once, ignore."),
        ({"grace": 300}, "grace must be a timedelta"),
        ({"retention": timedelta(-1)}, "retention must be a timedelta from 0 to 36500 days"),
        ({"spread": timedelta(0)}, "spread must be a timedelta above 0"),
        (
            {"spread": timedelta(hours=24)},
            "spread must be shorter than the time from one run to the next, 1 day, 0:00:00",
        ),
        ({"grace": timedelta.max}, "grace must be a timedelta from 0 to 36500 days"),
        ({"retention_count": 0}, "retention_count must be a whole number from 1 to"),
        ({"args": "abc"}, "args must be a list or tuple"),
        ({"args": [date(2026, 1, 1)]}, "args cannot be written as JSON"),
        ({"kwargs": {"x": float("nan")}}, "kwargs cannot be written as JSON"),
        ({"kwargs": {1: 2}}, "kwargs must be a dict with texts as keys"),
        ({"kwargs": [1]}, "kwargs must be a dict"),
        ({"queue": ""}, "queue is empty"),
        ({"priority": 256}, "priority must be a whole number from 0 to 255"),
        ({"priority": True}, "priority must be a whole number"),
        ({"expires": 0}, "expires must be a timedelta or a number of seconds"),
        ({"expires": "soon"}, "expires must be a timedelta or a number of seconds"),
        ({"overlapp": "allow"}, 'it has no option "overlapp"; did you mean "overlap"?'),
        ({"time_zone": "UTC"}, 'it has no option "time_zone"; did you mean "timezone"?'),
        ({"soft_timelimit": 9}, 'it has no option "soft_timelimit"; did you mean "soft_time_limit"?'),
        ({"tenant": 1}, 'it has no option "tenant", nor has a Celery task.'),
        ({"apply_async": 1}, 'it has no option "apply_async"'),
    ],
)
def test_a_wrong_declaration_says_where_and_why(declared, given, reason):
    declare = {"schedule": "0 3 * * *", "name": "purge", **given}
    line = inspect.currentframe().f_lineno + 2
    with pytest.raises(WrongDeclaration) as caught:
        scheduled_task(declare.pop("schedule"), **declare)(job)
    message = str(caught.value)
    assert message.startswith(
        f'File "{__file__}", line {line}: scheduled task "{given.get("name", "purge")}": '
    )
    assert reason in message
    assert declared == {}


def test_every_option_that_celery_reads_is_known(declared):
    made = inspect.signature(Celery._task_from_fun).parameters
    retried = re.findall(r"getattr\(task, '(\w+)'", inspect.getsource(add_autoretry_behaviour))
    sent = extract_exec_options(object())
    configured = [name for name, _setting in Task.from_config]
    read = {*made, *retried, *sent, *configured} - {"self", "fun", "options"}
    assert {"pydantic", "retry_backoff", "compression", "acks_late"} <= read
    check_known({name: None for name in read if name != "base"}, own=())


class Tenants(Task):
    tenant = None


def failed(self, error, *args):
    pass


def test_the_tasks_class_may_know_more_options(declared):
    scheduled_task("@daily", name="tenants", base=Tenants, tenant="a", on_failure=failed)(job)
    assert (declared["tenants"].task.tenant, declared["tenants"].task.on_failure.__func__) == ("a", failed)


def test_an_attribute_of_the_projects_own_goes_where_the_task_is_made(declared):
    scheduled_task("@daily", name="own")(shared_task(name="tests.own", tenant="b")(job))
    assert declared["own"].task.tenant == "b"


def test_only_functions_and_tasks_can_be_declared():
    with pytest.raises(WrongDeclaration, match="it must decorate a function, not 5"):
        scheduled_task("@daily", name="five")(5)


@pytest.mark.parametrize(
    "function", [lambda: None, functools.partial(job, 1), type("Job", (), {"__call__": job})()]
)
def test_what_has_no_name_is_refused_before_celery_has_it(declared, function):
    with pytest.raises(
        WrongDeclaration, match="Celery makes tasks of functions with a name, not of a lambda"
    ):
        scheduled_task("@daily", name="nameless")(function)
    assert declared == {}
    assert Celery("nameless", set_as_current=False).tasks  # which makes all tasks


async def awaited():
    pass


def generated():
    yield


async def both():
    yield


@pytest.mark.parametrize("function", [awaited, generated, both])
def test_functions_that_a_call_does_not_run_are_refused(declared, function):
    with pytest.raises(WrongDeclaration, match="it is async or a generator"):
        scheduled_task("@daily")(function)
    assert declared == {}


def test_a_task_made_for_a_pool_of_its_own_may_be_async(declared):
    scheduled_task("@daily", name="async")(shared_task(name="tests.async")(awaited))
    assert list(declared) == ["async"]


def test_options_for_celery_belong_where_the_task_is_made():
    task = shared_task(name="tests.made_elsewhere")(job)
    with pytest.raises(WrongDeclaration, match="max_retries, task_name: this is a Celery task already"):
        scheduled_task("@daily", name="x", task_name="y", max_retries=3)(task)


def test_an_existing_task_needs_a_name():
    with pytest.raises(WrongDeclaration, match="name is empty"):
        scheduled_task("@daily")(shared_task(name="tests.nameless")(job))


def test_two_functions_cannot_have_one_name():
    scheduled_task("@daily", name="purge")(job)
    with pytest.raises(WrongDeclaration, match=rf'"{__file__}", line \d+ declares this name already'):

        @scheduled_task("@daily", name="purge")
        def other():
            pass


def test_one_function_cannot_have_one_name_twice():
    with pytest.raises(WrongDeclaration, match="declares this name already"):

        @scheduled_task("0 3 * * *")
        @scheduled_task("0 4 * * *")
        def tidy_up():
            pass


def test_a_loop_cannot_use_one_name_twice():
    task = shared_task(name="tests.drain")(job)

    def declare_all():
        for queue in ("first", "second"):
            scheduled_task("* * * * *", name="drain", kwargs={"queue": queue})(task)

    with pytest.raises(WrongDeclaration, match="declares this name already"):
        declare_all()


@pytest.mark.filterwarnings("ignore::celery.exceptions.CeleryWarning")
def test_functions_made_by_a_function_cannot_share_a_name():
    def make(queue):
        @scheduled_task("* * * * *", kwargs={"queue": queue})
        def drain(queue):
            pass

    make("first")
    with pytest.raises(WrongDeclaration, match="declares this name already"):
        make("second")


MODULE = """
from scheduled_tasks import scheduled_task
from celery import shared_task

@scheduled_task("{cron}", name="nightly")
def sweep():
    pass
"""


@pytest.mark.filterwarnings("ignore::celery.exceptions.CeleryWarning")
def test_a_reloaded_module_declares_anew(declared, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "reloaded_tasks.py"
    path.write_text(MODULE.format(cron="0 3 * * *"))
    module = importlib.import_module("reloaded_tasks")
    path.write_text("\n\n" + MODULE.format(cron="30 14 * * *"))
    importlib.invalidate_caches()
    importlib.reload(module)
    assert declared["nightly"].values["schedule"] == "30 14 * * *"


def run_python(*arguments, cwd):
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, check=False, env={}
    )
    return result.returncode, result.stdout + result.stderr


def test_a_module_run_by_its_name_and_imported_declares_once(tmp_path):
    code = (
        MODULE.format(cron="@daily") + "\nif __name__ == '__main__':\n    import twice\n    print('fine')\n"
    )
    (tmp_path / "twice.py").write_text(code)
    assert run_python("-m", "twice", cwd=tmp_path) == (0, "fine\n")


def test_declaring_makes_no_celery_app_and_needs_no_settings(tmp_path):
    code = (
        MODULE.format(cron="@daily")
        + "\nscheduled_task('@hourly', name='again')(sweep)\n"
        + "scheduled_task('@hourly', name='plain')(shared_task(lambda: None))\n"
        + "from celery import _state\n"
        + "from django.conf import settings\n"
        + "print(_state.default_app, list(_state._get_active_apps()), settings.configured)\n"
    )
    assert run_python("-c", code, cwd=tmp_path) == (0, "None [] False\n")


def test_the_words_for_policies_are_the_models():
    assert list(validation.OVERLAPS) == models.Overlap.values
    assert list(validation.MISFIRES) == models.Misfire.values


def test_unknown_public_names_are_unknown():
    import scheduled_tasks

    with pytest.raises(AttributeError, match="no attribute 'schedule_task'"):
        scheduled_tasks.schedule_task  # noqa: B018


def test_without_parentheses_it_is_refused(declared):
    with pytest.raises(
        WrongDeclaration, match=r'"forgetful": it has no schedule; write @scheduled_task\("0 3'
    ):

        @scheduled_task
        def forgetful():
            pass
