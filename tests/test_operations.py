"""What a person can do to a task, what is refused, and what is left behind."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from amqp.exceptions import AccessRefused
from celery import current_app
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTasks
from kombu.exceptions import EncodeError, OperationalError

from scheduled_tasks import operations, publishing, schedules
from scheduled_tasks.cron import InvalidCron
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
from scheduled_tasks.operations import Actor, Conflict, Refused
from scheduled_tasks.recording import endings, runs
from scheduled_tasks.recording.header import Header
from scheduled_tasks.recording.session import ordinary_session
from scheduled_tasks.schedules import InvalidInterval
from scheduled_tasks.sync import edited_fields
from tests import tasks
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def audit():
    return []


@pytest.fixture
def anna(audit):
    return Actor("anna", lambda task, message: audit.append((task.name, message)))


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
    assert "broker could not be reached" in run.reason


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
    assert "broker" not in run.reason


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
        ({"args": "[1"}, "are not JSON"),
        ({"kwargs": "[]"}, "must be an object"),
        ({"args": "{}"}, "must be a list"),
        ({"headers": "nonsense"}, "are not JSON"),
        ({"task": tasks.add.name, "args": "[1, 2, 3]"}, "do not fit the task"),
    ],
)
def test_arguments_that_cannot_be_sent_start_nothing(anna, fields, sentence):
    task = make_task(**fields)
    with pytest.raises(Refused, match=sentence) as refused:
        operations.run_now(task.pk, actor=anna, celery_id=new_id())
    assert refused.value.code == "arguments"
    assert not TaskRun.objects.exists()


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


def test_a_clocked_task_is_refused(anna):
    clocked = ClockedSchedule.objects.create(clocked_time=database_now() + timedelta(days=1))
    task = make_task(cron=None, clocked=clocked, one_off=True)
    with pytest.raises(Refused, match="runs once at a fixed time"):
        operations.reschedule(task.pk, actor=anna, expression="0 3 * * *", timezone="UTC")
    with pytest.raises(Refused, match="runs once at a fixed time"):
        operations.reschedule_interval(task.pk, actor=anna, every="5", unit="days")


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
    with pytest.raises(Refused, match="does not exist any more"):
        operations.enable(0, actor=anna)
    with pytest.raises(Refused, match="does not exist any more"):
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
    assert (run.status, run.is_open, run.reason) == (Status.CANCELLED, False, "Cancelled by anna.")
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
    message = runs.Message(celery_id=run.celery_id, header=Header(name=run.name))
    ending = endings.of_revoked(terminated=True, expired=False)
    runs.close_undelivered(ordinary_session(), message, ending)
    run.refresh_from_db()
    assert (run.status, run.reason) == (Status.CANCELLED, "Cancelled by anna.")


def test_cancel_names_the_person_also_when_the_worker_was_faster(anna, audit, monkeypatch):
    run = make_run(make_task(), Status.QUEUED)

    def discard(found):
        message = runs.Message(celery_id=found.celery_id, header=Header(name=found.name))
        ending = endings.of_revoked(terminated=False, expired=False)
        runs.close_undelivered(ordinary_session(), message, ending)

    monkeypatch.setattr(publishing, "revoke", discard)
    run = operations.cancel(run.pk, actor=anna)
    assert (run.status, run.reason) == (Status.CANCELLED, "Cancelled by anna.")


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
    assert noted == ["Cancelled by anna."]


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
