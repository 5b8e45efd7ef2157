"""What a person can do to a task, what is refused, and what is left behind."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from amqp.exceptions import AccessRefused
from celery import Task, current_app
from celery.result import AsyncResult, EagerResult
from celery.signals import after_task_publish
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTasks
from kombu.exceptions import EncodeError, OperationalError

from scheduled_tasks import operations, schedules
from scheduled_tasks.cron import InvalidCron
from scheduled_tasks.declarations.sync import edited_fields
from scheduled_tasks.models import (
    CodeDefault,
    PausedBy,
    ScheduledTask,
    Source,
    Status,
    TaskRun,
    TaskState,
    Trigger,
    database_now,
)
from scheduled_tasks.operations import Actor, Conflict, Refused, publishing
from scheduled_tasks.reasons import Code
from scheduled_tasks.recording import connection as connecting
from scheduled_tasks.recording import endings, statements
from scheduled_tasks.recording.header import Header
from scheduled_tasks.schedules import InvalidInterval
from scheduled_tasks.spread import InvalidSpread
from scheduled_tasks.typed_moments import InvalidMoment
from tests import tasks
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def audit():
    return []


@pytest.fixture
def anna(audit):
    return Actor("anna", lambda task, message: audit.append((task.name, str(message))))


@pytest.fixture
def broker_down(monkeypatch):
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:9/0")


def new_id():
    return str(uuid.uuid4())


def state_of(task):
    return TaskState.objects.get(task_id=task.pk)


def test_run_now_queues_one_run_and_logs_it(anna, audit):
    task = make_task(kwargs='{"x": 1, "y": 2}')
    run = operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert (run.status, run.trigger, run.actor) == (Status.QUEUED, Trigger.MANUAL, "anna")
    assert json.loads(run.kwargs) == {"x": 1, "y": 2}
    assert run.sent_at is not None
    assert run.expires_at - run.queued_at == timedelta(days=1)
    assert audit == [("purge", "Run now.")]


def test_the_same_id_is_the_same_run(anna, audit):
    task = make_task()
    celery_id = new_id()
    first = operations.run_now(task.pk, actor=anna, celery_id=celery_id)
    assert operations.run_now(task.pk, actor=anna, celery_id=celery_id) == first
    assert TaskRun.objects.count() == len(audit) == 1


def test_a_paused_task_runs_now(anna):
    task = make_task(enabled=False)
    assert operations.run_now(task.pk, actor=anna, celery_id=new_id()).status == Status.QUEUED


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.RETRYING])
def test_an_open_run_blocks_another(anna, status):
    task = make_task()
    blocking = make_run(task, status)
    with pytest.raises(Refused, match="may not overlap") as refused:
        operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert (refused.value.code, refused.value.run) == ("overlap", blocking)
    assert TaskRun.objects.count() == 1


def test_overlap_allow_starts_another(anna):
    task = make_task()
    TaskState.objects.create(task_id=task.pk, overlap="allow")
    make_run(task, Status.RUNNING)
    operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert TaskRun.objects.open().count() == 2


def test_a_broker_that_is_down_leaves_a_row_that_says_so(anna, broker_down):
    task = make_task()
    with pytest.raises(Refused, match="broker could not be reached") as refused:
        operations.run_now(task.pk, actor=anna, celery_id=new_id())
    run = TaskRun.objects.get()
    assert refused.value.code == "broker"
    assert (run.status, run.is_open) == (Status.MISSED, False)
    assert run.reason == Code.UNREACHABLE


def test_a_form_sent_again_says_again_that_its_run_was_not_sent(anna, monkeypatch):
    task, key = make_task(), new_id()
    with monkeypatch.context() as patched:
        patched.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:9/0")
        with pytest.raises(Refused):
            operations.run_now(task.pk, actor=anna, celery_id=key)
    with pytest.raises(Refused, match="broker could not be reached") as refused:
        operations.run_now(task.pk, actor=anna, celery_id=key)
    assert refused.value.run == TaskRun.objects.get()


@pytest.mark.parametrize("wrong", [EncodeError("no JSON"), TypeError("not that way"), ValueError("no")])
def test_a_message_that_cannot_be_made_does_not_accuse_the_broker(anna, monkeypatch, wrong):
    def apply_async(*args, **kwargs):
        raise wrong

    monkeypatch.setattr(tasks.add, "apply_async", apply_async)
    task = make_task(task=tasks.add.name, args="[1, 2]")
    with pytest.raises(Refused, match=f"cannot be sent as it is: {wrong}") as refused:
        operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert refused.value.code == "message"
    run = TaskRun.objects.get()
    assert (run.status, run.is_open) == (Status.FAILED, False)
    assert run.reason == Code.NOT_SENDABLE


def under_another_id(**message):
    return Task.apply_async(tasks.add, **{**message, "task_id": new_id()})


@pytest.mark.parametrize(
    "own_way",
    [
        lambda **_: None,
        lambda **_: AsyncResult("the one under way"),
        lambda **_: EagerResult(None, None, "REJECTED"),  # celery-once
        under_another_id,
    ],
)
def test_a_task_that_sends_nothing_under_the_runs_id_is_told_at_once(anna, monkeypatch, own_way):
    monkeypatch.setattr(tasks.add, "apply_async", own_way)
    task = make_task(task=tasks.add.name, args="[1, 2]")
    with pytest.raises(Refused, match="with the ID of this run") as refused:
        operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert refused.value.code == "message"
    run = TaskRun.objects.get(task_id=task.pk)
    assert (run.status, run.is_open, run.sent_at, run.reason) == (Status.MISSED, False, None, Code.OWN_WAY)


def test_a_task_that_runs_instead_of_being_sent_is_no_failure(anna, monkeypatch):
    def at_once(args, kwargs, task_id, headers, **_):
        return tasks.add.apply(args, kwargs, task_id=task_id, headers=headers)

    monkeypatch.setattr(tasks.add, "apply_async", at_once)
    task = make_task(task=tasks.add.name, args="[1, 2]")
    assert operations.run_now(task.pk, actor=anna, celery_id=new_id()).status == Status.SUCCEEDED


def test_headers_that_a_task_drops_are_put_back(anna, monkeypatch):
    sent = []

    def without_headers(**message):
        return Task.apply_async(tasks.add, **{**message, "headers": None})

    def note(headers, **_):
        sent.append(headers)

    monkeypatch.setattr(tasks.add, "apply_async", without_headers)
    after_task_publish.connect(note)
    task = make_task(task=tasks.add.name, args="[1, 2]")
    run = operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert Header.of(sent[0], run.celery_id).task == task.pk


@pytest.mark.parametrize(
    "wrong", [OperationalError("gone"), ConnectionResetError("reset"), AccessRefused("no")]
)
def test_what_the_broker_does_is_told_as_such(anna, monkeypatch, wrong):
    def apply_async(*args, **kwargs):
        raise wrong

    monkeypatch.setattr(tasks.add, "apply_async", apply_async)
    task = make_task(task=tasks.add.name, args="[1, 2]")
    with pytest.raises(Refused, match="broker could not be reached") as refused:
        operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert refused.value.code == "broker"
    assert TaskRun.objects.get().status == Status.MISSED


def test_a_broker_address_that_no_transport_knows_is_told_as_such(anna, monkeypatch):
    monkeypatch.setattr(current_app.conf, "broker_write_url", "nonsense://localhost")
    with pytest.raises(Refused, match="broker could not be reached"):
        operations.run_now(make_task().pk, actor=anna, celery_id=new_id())


def test_settings_without_a_broker_refuse_a_run(anna, monkeypatch):
    monkeypatch.setattr(type(current_app.conf), "broker_write_url", None)
    with pytest.raises(Refused, match="has no broker configured") as refused:
        operations.run_now(make_task().pk, actor=anna, celery_id=new_id())
    assert refused.value.code == "broker"
    assert TaskRun.objects.get().status == Status.MISSED


def test_the_broker_that_celery_assumes_serves_where_a_worker_uses_it(anna, monkeypatch):
    sent = []
    monkeypatch.setattr(type(current_app.conf), "broker_write_url", None)

    def apply_async(**message):
        sent.append(message["connection"].as_uri())
        after_task_publish.send(tasks.add.name, headers={"id": message["task_id"]}, body=())

    monkeypatch.setattr(tasks.add, "apply_async", apply_async)
    make_process(task_names=[tasks.add.name], brokers=["amqp://localhost:5672/"])
    task = make_task(task=tasks.add.name, args="[1, 2]")
    operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert sent == ["amqp://guest:**@localhost:5672//"]


@pytest.mark.parametrize("error", [ImportError("no such module"), SystemExit(2)])
def test_task_modules_that_cannot_be_imported_end_nothing(anna, error, monkeypatch):
    def fail():
        raise error

    monkeypatch.setattr(current_app.loader, "import_default_modules", fail)
    monkeypatch.setattr(publishing, "_import_task_modules", publishing._import_task_modules.__wrapped__)
    make_process(task_names=["tests.elsewhere"])
    run = operations.run_now(make_task(task="tests.elsewhere").pk, actor=anna, celery_id=new_id())
    assert run.sent_at is not None


def test_a_task_no_worker_knows_leaves_a_row_that_says_so(anna):
    task = make_task(task="tests.nowhere")
    make_process(task_names=["tests.add"])
    with pytest.raises(Refused, match="No running worker knows") as refused:
        operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert refused.value.code == "unknown_task"
    assert TaskRun.objects.get().status == Status.FAILED


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"args": "[1"}, "are not valid JSON"),
        ({"kwargs": "[]"}, "must be an object"),
        ({"args": "{}"}, "must be a list"),
        ({"headers": "nonsense"}, "are not valid JSON"),
        ({"task": tasks.add.name, "args": "[1, 2, 3]"}, "do not match the task"),
        ({"args": "[" * 480 + "]" * 480}, "too deeply"),
        ({"args": "[" * 5000 + "]" * 5000}, "too deeply"),
        ({"headers": '{"a":' * 700 + "1" + "}" * 700}, "too deeply"),
    ],
)
def test_arguments_that_cannot_be_sent_start_nothing(anna, fields, sentence):
    task = make_task(**fields)
    with pytest.raises(Refused, match=sentence) as refused:
        operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert refused.value.code == "arguments"
    assert not TaskRun.objects.exists()


@pytest.mark.parametrize("levels", [101, 480, 700])
def test_given_arguments_that_are_nested_too_deeply_start_nothing(anna, levels):
    task, value = make_task(), []
    for _level in range(levels):
        value = [value]
    for given in ({"args": value}, {"kwargs": {"a": value}}):
        with pytest.raises(Refused, match="too deeply") as refused:
            operations.run_now(task.pk, actor=anna, celery_id=new_id(), **given)
        assert refused.value.code == "arguments"
    assert not TaskRun.objects.exists()


class Tally(Task):
    name = "tests.tally"

    def run(self, a):
        return a


class Untyped(Tally):
    name = "tests.untyped"
    typing = False


@pytest.mark.parametrize("made", [Tally, Untyped])
@pytest.mark.parametrize("args", [[1], [1, 2, 3]])
def test_a_class_based_task_is_sent_as_celery_sends_it(monkeypatch, made, args):
    """Celery knows no signature of it, and checks none."""
    monkeypatch.setitem(current_app.tasks, made.name, made())
    message = publishing.message(make_task(task=made.name, args=json.dumps(args)))
    assert message.args == args


def test_disable_keeps_the_schedule_and_says_who_and_why(anna, audit):
    task = make_task()
    crontab = task.crontab_id
    task = operations.disable(task.pk, actor=anna, note="  waiting for legal ")
    assert not task.enabled
    assert task.crontab_id == crontab
    state = state_of(task)
    assert (state.paused_by, state.paused_by_name, state.pause_note) == (
        PausedBy.OPERATOR,
        "anna",
        "waiting for legal",
    )
    assert state.paused_at is not None
    assert audit == [("purge", "Disabled: waiting for legal")]


def test_a_disabled_task_has_no_next_run(anna):
    task = make_task()
    now = database_now()
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=now + timedelta(days=1))
    operations.disable(task.pk, actor=anna)
    assert state_of(task).next_run_at is None


def test_the_note_of_a_disabled_task_can_be_changed(anna, audit):
    task = make_task()
    operations.disable(task.pk, actor=anna, note="legal")
    since = state_of(task).paused_at
    operations.disable(task.pk, actor=Actor("bob", anna.log))
    operations.disable(task.pk, actor=Actor("bob", anna.log), note=" back in May ")
    state = state_of(task)
    assert (state.pause_note, state.paused_by_name, state.paused_at) == ("back in May", "anna", since)
    operations.disable(task.pk, actor=anna, note="")
    assert state_of(task).pause_note == ""
    assert [message for _name, message in audit[1:]] == [
        "Note: legal → back in May.",
        "Note: back in May → –.",
    ]


def test_enable_starts_from_now_and_forgets_the_pause(anna, audit):
    task = make_task()
    operations.disable(task.pk, actor=anna, note="why")
    task = operations.enable(task.pk, actor=anna)
    stored = ScheduledTask.objects.get(pk=task.pk)
    assert stored.enabled
    assert database_now() - stored.last_run_at < timedelta(minutes=1)
    state = state_of(task)
    assert (state.paused_by, state.pause_note, state.paused_at) == ("", "", None)
    assert state.enabled_since is not None
    assert [message for _name, message in audit] == ["Disabled: why", "Enabled."]


def test_doing_what_is_done_already_changes_and_logs_nothing(anna, audit):
    task = make_task()
    changed = ScheduledTask.objects.get(pk=task.pk).date_changed
    operations.enable(task.pk, actor=anna)
    operations.reschedule(task.pk, actor=anna, expression="0 3 * * *", timezone="UTC")
    assert ScheduledTask.objects.get(pk=task.pk).date_changed == changed
    assert audit == []


def test_reschedule_points_to_another_row_and_tells_beat(anna, audit):
    task, sharer = make_task(), make_task("sharer", cron=None, crontab=CrontabSchedule.objects.create())
    ScheduledTask.objects.filter(pk=sharer.pk).update(crontab=task.crontab)
    before = PeriodicTasks.last_change()
    changed = operations.reschedule(task.pk, actor=anna, expression="@hourly", timezone="Europe/Paris")
    assert schedules.raw(changed) == "0 * * * *"
    assert str(schedules.zone(changed)) == "Europe/Paris"
    assert schedules.raw(ScheduledTask.objects.get(pk=sharer.pk)) == "0 3 * * *"
    assert PeriodicTasks.last_change() > before
    assert database_now() - changed.last_run_at < timedelta(minutes=1)
    assert audit == [("purge", "Schedule: 0 3 * * * (UTC) → 0 * * * * (Europe/Paris).")]


def test_reschedule_moves_beats_own_next_run(anna):
    task = make_task()
    TaskState.objects.create(
        task_id=task.pk, accounted_until=database_now(), next_run_at=database_now() + timedelta(days=9)
    )
    operations.reschedule(task.pk, actor=anna, expression="* * * * *", timezone="UTC")
    assert state_of(task).next_run_at - database_now() <= timedelta(minutes=1)


def test_a_spread_is_part_of_the_schedule():
    entries = []
    anna = Actor("anna", lambda task, entry: entries.append(entry))
    task, ten_minutes = make_task(cron="0 * * * *"), timedelta(minutes=10)
    same = {"actor": anna, "expression": "0 * * * *", "timezone": "UTC"}
    with pytest.raises(InvalidSpread) as error:
        operations.reschedule(task.pk, **same, spread=timedelta(hours=1))
    assert str(error.value) == (
        "The spread must be shorter than the time from one run to the next, here 1 h."
    )
    changed = operations.reschedule(task.pk, **same, spread=ten_minutes)
    assert changed.state.spread == ten_minutes
    assert schedules.label(changed) == "Hourly, within 10 min"
    assert operations.schedule_token(changed) == "0 * * * * (UTC, within 600 s)"
    assert entries[0].params["after"] == operations.schedule_token(changed)
    operations.restore(task.pk, actor=anna, entry=entries[0])
    assert schedules.label(ScheduledTask.objects.get(pk=task.pk)) == "Hourly"


def test_an_interval_becomes_a_cron_schedule(anna):
    interval = IntervalSchedule.objects.create(every=10, period="minutes")
    task = make_task(cron=None, interval=interval)
    changed = operations.reschedule(task.pk, actor=anna, expression="0 3 * * *", timezone="UTC")
    assert (changed.interval, schedules.raw(changed)) == (None, "0 3 * * *")


def every(number, period, **fields):
    return make_task(
        cron=None, interval=IntervalSchedule.objects.create(every=number, period=period), **fields
    )


def test_an_interval_points_to_another_row_and_counts_from_now(anna, audit):
    task = every(10, "minutes")
    make_task("sharer", cron=None, interval=task.interval)
    before = PeriodicTasks.last_change()
    changed = operations.reschedule_interval(task.pk, actor=anna, every=" 2 ", unit="hours")
    assert schedules.raw(changed) == "every 2 hours"
    assert schedules.raw(ScheduledTask.objects.get(name="sharer")) == "every 10 minutes"
    assert PeriodicTasks.last_change() > before
    assert database_now() - changed.last_run_at < timedelta(minutes=1)
    assert audit == [("purge", "Schedule: every 10 minutes → every 2 hours.")]
    again = operations.reschedule_interval(make_task("other").pk, actor=anna, every="2", unit="hours")
    assert (again.crontab, again.interval_id) == (None, changed.interval_id)


def test_an_interval_moves_beats_own_next_run(anna):
    task, now = every(10, "minutes"), database_now()
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=now + timedelta(days=9))
    operations.reschedule_interval(task.pk, actor=anna, every="5", unit="minutes")
    assert timedelta(minutes=5) <= state_of(task).next_run_at - now < timedelta(minutes=6)


def test_the_same_interval_in_another_unit_changes_and_logs_nothing(anna, audit):
    task = every(900, "seconds")
    operations.reschedule_interval(task.pk, actor=anna, every="15", unit="minutes")
    assert schedules.raw(ScheduledTask.objects.get(pk=task.pk)) == "every 900 seconds"
    assert audit == []


@pytest.mark.parametrize(
    ("number", "unit"),
    [
        ("", "hours"),
        ("0", "hours"),
        ("-1", "hours"),
        ("1.5", "hours"),
        ("٣", "hours"),
        ("1_0", "hours"),
        ("3651", "days"),
        ("9" * 5000, "seconds"),
        ("1", "weeks"),
        ("1", ""),
    ],
)
def test_a_wrong_interval_leaves_the_old_one(anna, audit, number, unit):
    task = every(10, "minutes")
    with pytest.raises(InvalidInterval):
        operations.reschedule_interval(task.pk, actor=anna, every=number, unit=unit)
    assert schedules.raw(ScheduledTask.objects.get(pk=task.pk)) == "every 10 minutes"
    assert audit == []


@pytest.mark.parametrize("unit", ["microseconds", "seconds", "minutes", "hours", "days"])
def test_the_longest_interval_can_be_stored_and_run(anna, unit):
    most = schedules.LONGEST_INTERVAL // schedules.UNITS[unit]
    most = min(most, 2**31 - 1)
    task = operations.reschedule_interval(make_task().pk, actor=anna, every=str(most), unit=unit)
    assert schedules.next_run(task, database_now()) is not None


def test_an_interval_changed_meanwhile_is_a_conflict(anna):
    task = every(10, "minutes")
    seen = operations.schedule_token(task)
    operations.reschedule_interval(task.pk, actor=anna, every="5", unit="minutes", seen=seen)
    with pytest.raises(Conflict, match="every 5 minutes"):
        operations.reschedule_interval(task.pk, actor=anna, every="7", unit="minutes", seen=seen)


def test_an_edited_interval_is_reset_to_the_codes(anna):
    task = every(900, "seconds")
    CodeDefault.objects.create(
        task_id=task.pk,
        name=task.name,
        source=Source.BEAT_SCHEDULE,
        declared={"schedule": "every 15 minutes", "timezone": None},
    )
    assert edited_fields(ScheduledTask.objects.with_schedules().get(pk=task.pk)) == ()
    changed = operations.reschedule_interval(task.pk, actor=anna, every="2", unit="hours")
    assert edited_fields(changed) == ("schedule",)
    assert schedules.raw(operations.reset(task.pk, actor=anna)) == "every 15 minutes"


def test_a_task_that_runs_once_may_recur_and_the_other_way_round(anna):
    at = database_now().replace(microsecond=0) + timedelta(days=1)
    task = make_task()
    once = operations.reschedule_once(task.pk, actor=anna, at=at)
    assert (once.clocked.clocked_time, once.one_off, once.crontab) == (at, True, None)
    sun = operations.reschedule_solar(
        task.pk, actor=anna, event="sunset", latitude="48.8566", longitude="-2,3522"
    )
    assert (schedules.raw(sun), sun.one_off) == ("sunset at 48.856600, -2.352200", False)
    with pytest.raises(InvalidMoment, match="This time is past"):
        operations.reschedule_once(task.pk, actor=anna, at=database_now())


def test_one_that_is_over_is_not_enabled_but_runs_at_another_time(anna):
    past, to_come = (database_now() + timedelta(hours=hours) for hours in (-1, 1))
    clocked = ClockedSchedule.objects.create(clocked_time=past)
    task = make_task(cron=None, clocked=clocked, one_off=True, enabled=False)
    with pytest.raises(Refused, match="This time is past"):
        operations.enable(task.pk, actor=anna)
    with pytest.raises(Conflict, match="purge was due meanwhile, and is over"):
        operations.reschedule_once(task.pk, actor=anna, at=to_come, seen=schedules.raw(task))
    token = operations.schedule_token(task)
    assert operations.reschedule_once(task.pk, actor=anna, at=to_come, seen=token).enabled
    operations.disable(task.pk, actor=anna)
    later = to_come + timedelta(hours=1)
    assert not operations.reschedule_once(task.pk, actor=anna, at=later).enabled, "anna paused it"


@pytest.mark.parametrize(
    ("expression", "zone", "error"),
    [
        ("0 24 * * *", "UTC", InvalidCron),
        ("0 0 31 2 *", "UTC", InvalidCron),
        ("0 3 * * *", "Mars/Olympus", Refused),
        ("0 3 * * *", "", Refused),
        ("0 3 * * *", "../etc", Refused),
    ],
)
def test_a_wrong_schedule_leaves_the_old_one(anna, audit, expression, zone, error):
    task = make_task()
    with pytest.raises(error):
        operations.reschedule(task.pk, actor=anna, expression=expression, timezone=zone)
    assert schedules.raw(ScheduledTask.objects.get(pk=task.pk)) == "0 3 * * *"
    assert audit == []


def test_a_change_made_meanwhile_is_a_conflict(anna):
    task = make_task()
    seen = operations.schedule_token(task)
    operations.reschedule(task.pk, actor=anna, expression="0 4 * * *", timezone="UTC", seen=seen)
    with pytest.raises(Conflict, match=r"0 4 \* \* \*") as conflict:
        operations.reschedule(task.pk, actor=anna, expression="0 5 * * *", timezone="UTC", seen=seen)
    assert schedules.raw(conflict.value.task) == "0 4 * * *"


def test_what_is_gone_is_said_plainly(anna):
    with pytest.raises(Refused, match="no longer exists"):
        operations.enable(0, actor=anna)
    with pytest.raises(Refused, match="no longer exists"):
        operations.cancel(0, actor=anna)
    assert not TaskState.objects.exists()


def test_a_failing_log_takes_the_change_back():
    task = make_task()

    def fail(task, message):
        raise RuntimeError("no audit, no change")

    with pytest.raises(RuntimeError):
        operations.disable(task.pk, actor=Actor("anna", fail))
    assert ScheduledTask.objects.get(pk=task.pk).enabled


def test_retry_is_a_new_run_with_the_same_arguments(anna, audit):
    task = make_task(task="tests.tasks.add", args="[1, 2]")
    old = make_run(task, Status.FAILED, args="[3, 4]", kwargs="{}")
    run = operations.retry(old.pk, actor=anna, celery_id=new_id())
    assert (run.retry_of, run.trigger, run.args) == (old, Trigger.RETRY, "[3, 4]")
    assert audit == [("purge", f"Retry of run {old.pk}.")]


def test_retry_refuses_arguments_that_were_not_kept(anna):
    old = make_run(make_task(), Status.FAILED, args="[]", kwargs='{"token": "••••••"}')
    with pytest.raises(Refused, match="not kept in full"):
        operations.retry(old.pk, actor=anna, celery_id=new_id())


def test_retry_refuses_a_run_that_has_not_ended(anna):
    with pytest.raises(Refused, match="not ended"):
        operations.retry(make_run(make_task(), Status.RUNNING).pk, actor=anna, celery_id=new_id())


def test_cancel_closes_a_queued_run(anna, audit):
    run = operations.cancel(make_run(make_task(), Status.QUEUED).pk, actor=anna)
    assert (run.status, run.is_open, run.reason_text) == (Status.CANCELLED, False, "Cancelled by anna.")
    assert audit == [("purge", f"Cancelled run {run.pk}.")]


def test_cancel_locks_the_run_by_its_id_alone(anna):
    run = make_run(make_task(), Status.QUEUED)
    with CaptureQueriesContext(connection) as captured:
        operations.cancel(run.pk, actor=anna)
    table = TaskRun._meta.db_table
    changes = [
        query["sql"] for query in captured if query["sql"].startswith("UPDATE") and table in query["sql"]
    ]
    assert changes
    # Any other condition lets MariaDB choose another index, and wait for the recorder that waits for it.
    assert not [sql for sql in changes if " AND " in sql.partition(" WHERE ")[2]]


def test_cancel_leaves_the_end_of_a_running_run_to_its_worker(anna, audit):
    run = operations.cancel(make_run(make_task(), Status.RUNNING).pk, actor=anna)
    assert (run.status, run.reason) == (Status.RUNNING, "")
    message = statements.Message(celery_id=run.celery_id, header=Header(name=run.name, trigger=run.trigger))
    ending = endings.of_revoked(terminated=True, expired=False)
    statements.close_undelivered(message, ending)
    run.refresh_from_db()
    assert (run.status, run.reason_text) == (Status.CANCELLED, "Cancelled by anna.")


def test_cancel_names_the_person_also_when_the_worker_was_faster(anna, audit, monkeypatch):
    run = make_run(make_task(), Status.QUEUED)

    def discard(found):
        header = Header(name=found.name, trigger=found.trigger)
        message = statements.Message(celery_id=found.celery_id, header=header)
        ending = endings.of_revoked(terminated=False, expired=False)
        statements.close_undelivered(message, ending)

    monkeypatch.setattr(publishing, "revoke", discard)
    run = operations.cancel(run.pk, actor=anna)
    assert (run.status, run.reason_text) == (Status.CANCELLED, "Cancelled by anna.")


def test_cancel_says_where_the_pool_cannot_stop_a_task(anna):
    worker = make_process(pool="threads")
    run = make_run(make_task(), Status.RUNNING, process_id=worker.boot_id)
    with pytest.raises(Refused, match="threads pool"):
        operations.cancel(run.pk, actor=anna)
    run.refresh_from_db()
    assert run.cancellation == ""


def test_the_worker_finds_the_cancellation_noted(anna, monkeypatch):
    noted = []
    monkeypatch.setattr(
        publishing, "revoke", lambda run: noted.append(TaskRun.objects.get(pk=run.pk).cancellation)
    )
    operations.cancel(make_run(make_task(), Status.RUNNING).pk, actor=anna)
    assert noted == ['{"name": "anna"}']


def test_a_broker_that_refuses_is_not_asked_again(anna, broker_down, monkeypatch):
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda seconds: pytest.fail("a second try"))
    with pytest.raises(Refused, match="broker could not be reached"):
        operations.run_now(make_task().pk, actor=anna, celery_id=new_id())


def test_every_broker_of_several_is_asked_once(anna, monkeypatch):
    monkeypatch.setattr(current_app.conf, "broker_write_url", "amqp://one//;amqp://two//")
    asked = []

    def establish(transport):
        asked.append(transport.client.hostname)
        raise ConnectionRefusedError

    monkeypatch.setattr("kombu.transport.pyamqp.Transport.establish_connection", establish)
    with pytest.raises(Refused, match="broker could not be reached"):
        operations.run_now(make_task().pk, actor=anna, celery_id=new_id())
    assert asked == ["one", "two"]


def test_skip_next_can_be_taken_back(anna, audit):
    task = make_task()
    operations.skip_next(task.pk, actor=anna)
    assert state_of(task).skip_next
    operations.skip_next(task.pk, actor=anna, skip=False)
    assert not state_of(task).skip_next
    assert len(audit) == 2


def test_a_row_that_cannot_be_saved_is_refused_in_words(anna, audit):
    (task,) = ScheduledTask.objects.bulk_create([ScheduledTask(name="bare", task="tests.add")])
    with pytest.raises(Refused, match="bare cannot be saved: One of clocked, interval, crontab") as refusal:
        operations.disable(task.pk, actor=anna)
    assert refusal.value.code == "invalid"
    assert ScheduledTask.objects.get(pk=task.pk).enabled
    assert audit == []


def test_a_person_with_a_very_long_name_can_run_a_task():
    anna = Actor("anna@" + "x" * 250, lambda task, message: None)
    run = operations.run_now(make_task().pk, actor=anna, celery_id=new_id())
    assert run.actor == anna.name[:150]


def test_skipping_twice_is_logged_once(anna, audit):
    task = make_task()
    operations.skip_next(task.pk, actor=anna)
    operations.skip_next(task.pk, actor=anna)
    assert [message for _name, message in audit] == ["Skip the next run."]
    assert state_of(task).skip_next


def test_a_reset_leaves_what_beat_writes_meanwhile(anna, monkeypatch):
    task = make_task(description="edited")
    later = database_now() + timedelta(hours=1)
    CodeDefault.objects.create(task_id=task.pk, name=task.name, declared={"description": "as declared"})
    TaskState.objects.create(task_id=task.pk, accounted_until=database_now())
    saving = ScheduledTask.save

    def beat_claims_first(self, *args, **kwargs):
        TaskState.objects.filter(task_id=self.pk).update(accounted_until=later, next_run_at=later)
        saving(self, *args, **kwargs)

    monkeypatch.setattr(ScheduledTask, "save", beat_claims_first)
    operations.reset(task.pk, actor=anna)
    assert ScheduledTask.objects.get(pk=task.pk).description == "as declared"
    assert (state_of(task).accounted_until, state_of(task).next_run_at) == (later, later)


def test_the_run_of_a_deleted_task_can_be_cancelled(anna, audit, monkeypatch):
    monkeypatch.setattr(publishing, "revoke", lambda run: None)
    run = make_run(make_task(), Status.QUEUED)
    ScheduledTask.objects.all().delete()
    assert operations.cancel(run.pk, actor=anna).status == Status.CANCELLED
    assert audit == []


@pytest.mark.parametrize(
    "declared",
    [
        {"schedule": "nonsense"},
        {"schedule": 5},
        {"timezone": "Mars/Olympus"},
        {"grace": "soon"},
        ["schedule"],
    ],
)
def test_a_reset_to_a_declaration_that_cannot_be_read_says_so(anna, audit, declared):
    task = make_task()
    CodeDefault.objects.create(task_id=task.pk, name=task.name, declared=declared)
    before = schedules.raw(task)
    with pytest.raises(Refused, match="sync_scheduled_tasks") as caught:
        operations.reset(task.pk, actor=anna)
    assert caught.value.code == "declaration"
    assert (schedules.raw(ScheduledTask.objects.get(pk=task.pk)), audit) == (before, [])


def test_texts_of_which_the_database_lacks_a_character_are_kept_in_ascii(anna, monkeypatch):
    monkeypatch.setattr(connecting, "_has_every_character", lambda: False)
    task, ann = make_task(), Actor("ann 🙂", anna.log)
    run = operations.run_now(task.pk, actor=ann, celery_id=new_id(), args=["🙂"])
    assert (run.actor, run.args) == ("ann \\U0001f642", '["\\U0001f642"]')
    state = operations.disable(task.pk, actor=ann, note="why 🙂").state
    assert (state.pause_note, state.paused_by_name) == ("why \\U0001f642", "ann \\U0001f642")


def test_the_databases_of_the_tests_have_every_character(db):
    connecting._has_every_character.cache_clear()
    assert connecting.keepable("é 🙂") == "é 🙂"
