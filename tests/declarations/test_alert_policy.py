"""The alert policy of a task: declared by decorator or CELERY_BEAT_SCHEDULE, and synced three-way."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery, shared_task

from scheduled_tasks import models, scheduled_task, validation
from scheduled_tasks.declarations import registry, sync
from scheduled_tasks.declarations.fields import FIELDS, values_of
from scheduled_tasks.declarations.registry import WrongDeclaration
from scheduled_tasks.models import ScheduledTask, TaskState
from scheduled_tasks.validation import ALERT_KINDS, ALERT_POLICY, alert_policy

pytestmark = pytest.mark.django_db

SAID = {
    "alert_after": 3,
    "recover_after": 2,
    "max_runtime": timedelta(minutes=10),
    "alert_on": ("slow", "failing"),
    "owner": "billing",
    "runbook": "https://wiki.example.com/purge",
}
STORED = {**SAID, "alert_on": "failing,slow"}
UNSAID = {**dict.fromkeys(ALERT_POLICY), "alert_on": "", "owner": "", "runbook": ""}
"""The columns of a task that leaves everything to the project's settings."""

Report = sync.SyncReport


@shared_task(name="tests.policed")
def job() -> None:
    pass


@pytest.fixture
def app() -> Celery:
    return Celery("alert-policy-tests", set_as_current=False)


@pytest.fixture(params=["decorator", "beat schedule"])
def deploy(
    request: pytest.FixtureRequest, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Report]:
    """Call it to sync code that declares the task ``purge`` with this policy, in either way."""

    def by_decorator(**policy: Any) -> Report:
        monkeypatch.setattr(registry, "definitions", {})
        scheduled_task("0 3 * * *", name="purge", **policy)(job)
        return sync.sync(app=app)

    def by_beat_schedule(**policy: Any) -> Report:
        monkeypatch.setattr(registry, "definitions", {})
        app.conf.beat_schedule = {"purge": {"task": job.name, "schedule": 30, **policy}}
        return sync.sync(app=app)

    return by_decorator if request.param == "decorator" else by_beat_schedule


def columns() -> dict[str, Any]:
    state = TaskState.objects.get(task__name="purge")
    return {name: getattr(state, name) for name in ALERT_POLICY}


def operator_sets(**values: Any) -> None:
    TaskState.objects.filter(task__name="purge").update(**values)


def edited() -> tuple[str, ...]:
    return sync.edited_fields(ScheduledTask.objects.with_schedules().get(name="purge"))


def test_every_part_is_stored(deploy: Callable[..., Report]) -> None:
    assert deploy(**SAID).problems == ()
    assert columns() == STORED
    assert deploy(**SAID).unchanged == ("purge",)
    assert edited() == ()


def test_what_code_does_not_say_is_left_to_the_project(deploy: Callable[..., Report]) -> None:
    assert deploy().problems == ()
    assert columns() == UNSAID
    assert deploy().unchanged == ("purge",)


def test_what_nobody_edited_follows_the_code(deploy: Callable[..., Report]) -> None:
    deploy(**SAID)
    report = deploy(alert_after=5, alert_on=[])
    assert columns() == {**UNSAID, "alert_after": 5, "alert_on": "none"}
    assert "alert_after 3 → 5" in report.changes[0]
    assert "owner 'billing' → None" in report.changes[0]
    assert report.kept == ()


def test_an_operators_edit_stays_and_the_rest_follows(deploy: Callable[..., Report]) -> None:
    deploy(**SAID)
    operator_sets(alert_after=9, runbook="")
    assert edited() == ("alert_after", "runbook")
    assert deploy(**{**SAID, "alert_after": 4, "owner": "ops"}).kept == ("purge",)
    assert columns() == {**STORED, "alert_after": 9, "runbook": "", "owner": "ops"}
    assert edited() == ("alert_after", "runbook")


def test_an_edit_that_code_adopts_remains_the_operators(deploy: Callable[..., Report]) -> None:
    deploy(owner="billing")
    operator_sets(owner="ops")
    deploy(owner="ops")
    assert edited() == ()
    deploy(owner="billing")  # old code again, during a rolling deploy
    assert columns()["owner"] == "ops"


def test_an_edit_of_what_code_never_said_stays(deploy: Callable[..., Report]) -> None:
    deploy()
    operator_sets(alert_on="late")
    deploy()
    assert (columns()["alert_on"], edited()) == ("late", ("alert_on",))


def test_reset_takes_the_default(deploy: Callable[..., Report]) -> None:
    deploy(**SAID)
    operator_sets(**UNSAID)
    assert edited() == ALERT_POLICY
    sync.apply_default(ScheduledTask.objects.with_schedules().get(name="purge"))
    assert (columns(), edited()) == (STORED, ())


def test_an_older_versions_declaration_says_nothing_of_it(deploy: Callable[..., Report]) -> None:
    """What was declared before these fields were known counts as left to the project."""
    deploy()
    default = models.CodeDefault.objects.get()
    default.declared = {name: value for name, value in default.declared.items() if name not in ALERT_POLICY}
    default.save()
    deploy(**SAID)
    assert columns() == STORED


WRONG = [
    ({"alert_after": 0}, "alert_after must be a whole number from 1 to 2147483647, not 0."),
    ({"alert_after": "3"}, "alert_after must be a whole number from 1 to 2147483647, not '3'."),
    ({"recover_after": True}, "recover_after must be a whole number from 1 to 2147483647, not True."),
    ({"max_runtime": 60}, "max_runtime must be a timedelta above 0 and at most 36500 days, not 60."),
    ({"max_runtime": timedelta(0)}, "max_runtime must be a timedelta above 0 and at most 36500 days"),
    ({"alert_on": "late"}, "alert_on must be a list or tuple of some of failing, late, slow, or empty"),
    ({"alert_on": b""}, "alert_on must be a list or tuple"),
    ({"alert_on": {"late": 1}}, "alert_on must be a list or tuple"),
    ({"alert_on": ["lately"]}, "alert_on must be a list or tuple of some of failing, late, slow, or empty"),
    ({"owner": ""}, "owner is empty; give one."),
    ({"owner": "o" * 101}, "owner has 101 characters; 100 is the most."),
    ({"owner": ["billing"]}, "owner must be text, not ['billing']."),
    ({"runbook": "javascript:alert(1)"}, "runbook must be an http or https address"),
    ({"runbook": "java\nscript:alert(1)//https://x"}, "runbook must be an http or https address"),
    ({"runbook": "https://wiki.example.com/\tx"}, "runbook must be an http or https address"),
    ({"runbook": " https://wiki.example.com/"}, "runbook must be an http or https address"),
    ({"runbook": "https://"}, "runbook must be an http or https address"),
    ({"runbook": "https://anna:s3cr3t@wiki/"}, "runbook has a user name or a password, which everybody"),
    ({"runbook": "https://wiki/\u202egro"}, "runbook must be an http or https address"),
    ({"runbook": "wiki.example.com"}, "runbook must be an http or https address"),
    ({"runbook": "ftp://wiki.example.com"}, "runbook must be an http or https address"),
    ({"runbook": "https://wiki.example.com/" + "x" * 500}, "runbook has 525 characters; 500 is the most."),
]


@pytest.mark.parametrize(("given", "reason"), WRONG)
def test_a_decorator_says_what_is_wrong_and_where(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(registry, "definitions", {})
    with pytest.raises(WrongDeclaration) as caught:
        scheduled_task("0 3 * * *", name="purge", **given)(job)
    place = rf'File "{re.escape(__file__)}", line \d+: scheduled task "purge": '
    assert re.match(place + re.escape(reason), str(caught.value))
    assert "s3cr3t" not in str(caught.value)
    assert registry.definitions == {}


@pytest.mark.parametrize(("given", "reason"), WRONG)
def test_the_beat_schedule_says_what_is_wrong_and_where(
    app: Celery, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(registry, "definitions", {})
    app.conf.beat_schedule = {"purge": {"task": job.name, "schedule": 30, **given}}
    [problem] = sync.sync(app=app).problems
    assert problem.startswith(f"The entry “purge” of CELERY_BEAT_SCHEDULE is unusable: {reason}")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (["slow", "late", "failing", "late"], "failing,late,slow"),
        ({"late", "failing"}, "failing,late"),
        ((), "none"),
        (None, None),
    ],
)
def test_kinds_have_one_order(given: Any, stored: str | None) -> None:
    assert validation.kinds("alert_on", given) == stored


def test_no_kinds_are_none_and_not_the_projects() -> None:
    assert TaskState(alert_on=validation.NO_KINDS).effective_alert_on.isdisjoint(ALERT_KINDS)
    assert TaskState(alert_on="").effective_alert_on == {*ALERT_KINDS}


def test_the_kinds_are_those_of_incidents() -> None:
    assert {*ALERT_KINDS} == models.OF_TASKS


def test_the_longest_texts_fit_their_columns() -> None:
    column = TaskState._meta.get_field
    assert column("owner").max_length == validation.OWNER_LENGTH
    assert column("runbook").max_length == validation.RUNBOOK_LENGTH
    assert column("alert_on").max_length >= len(",".join(ALERT_KINDS))


def test_a_state_without_a_row_reads_as_unsaid() -> None:
    values = values_of(ScheduledTask(name="purge"))
    assert {values[name] for name in ALERT_POLICY} == {None}
    assert set(ALERT_POLICY) < set(FIELDS)
    assert alert_policy(*[None] * 6) == dict.fromkeys(ALERT_POLICY)
