"""The three-way sync: declared now, declared last, stored."""

import io
import logging
import logging.config
import os
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial

import pytest
from celery import Celery, _state, shared_task
from celery.schedules import crontab, schedule, solar
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from scheduled_tasks import scheduled_task, schedules
from scheduled_tasks.declarations import registry
from scheduled_tasks.declarations import sync as syncing
from scheduled_tasks.declarations.sync import (
    apply_default,
    edited_fields,
    sync_at_beat_start,
    sync_at_migrate,
)
from scheduled_tasks.models import CodeDefault, PausedBy, ScheduledTask, Source, TaskState, database_now
from scheduled_tasks.reading.machinery import Machinery
from scheduled_tasks.recording import connection as own_connection
from scheduled_tasks.spread import spread_offset
from tests.factories import make_task

pytestmark = pytest.mark.django_db


def job(*args, **kwargs):
    pass


@cache
def task(name):
    return shared_task(name=name)(job)


@pytest.fixture
def app():
    """A Celery app that imports nothing."""
    app = Celery("sync-tests", set_as_current=False)
    app.conf.timezone = "Europe/Paris"
    return app


@pytest.fixture(autouse=True)
def declare(monkeypatch):
    """Declare a job in place of all that were declared; call it without arguments to declare none."""

    def declare(cron=None, name="purge", *, more=False, task_name=None, **options):
        if not more:
            monkeypatch.setattr(registry, "definitions", {})
        if cron is not None:
            scheduled_task(cron, name=name, **options)(task(task_name or f"tests.{name}"))

    declare()
    return declare


@pytest.fixture
def sync(app):
    def run(**options):
        return syncing.sync(app=app, **options)

    return run


def get(name="purge"):
    return ScheduledTask.objects.with_schedules().get(name=name)


def cron_of(task):
    row = task.crontab
    return f"{row.minute} {row.hour} {row.day_of_month} {row.month_of_year} {row.day_of_week} {row.timezone}"


def operator_sets(name="purge", *, cron=None, zone="Europe/Paris", **fields):
    """What an operator's edit leaves behind."""
    task = ScheduledTask.objects.get(name=name)
    if cron is not None:
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        fields["crontab"] = CrontabSchedule.objects.create(
            **dict(zip(names, cron.split(), strict=True)), timezone=zone
        )
    for field, value in fields.items():
        setattr(task, field, value)
    task.save()


def operator_pauses(name="purge"):
    operator_sets(name, enabled=False)
    TaskState.objects.filter(task__name=name).update(paused_by=PausedBy.OPERATOR)


def test_creates_what_is_declared(declare, sync):
    declare(
        "0 3 * * MON",
        description="Deletes old rows",
        timezone="Asia/Kolkata",
        overlap="allow",
        misfire="ignore",
        grace=timedelta(minutes=5),
        retention=timedelta(days=7),
        retention_count=50,
        args=[1],
        kwargs={"batch": 100},
        queue="slow",
        priority=3,
        expires=60,
    )
    report = sync()
    task = get()
    assert report.created == ("purge",)
    assert cron_of(task) == "0 3 * * 1 Asia/Kolkata"
    assert (task.task, task.description, task.enabled) == ("tests.purge", "Deletes old rows", True)
    assert (task.args, task.kwargs) == ("[1]", '{"batch": 100}')
    assert (task.queue, task.priority, task.expire_seconds) == ("slow", 3, 60)
    assert (task.state.overlap, task.state.misfire) == ("allow", "ignore")
    assert (task.state.grace, task.state.retention) == (timedelta(minutes=5), timedelta(days=7))
    assert task.state.retention_count == 50
    assert task.state.enabled_since == task.last_run_at
    assert abs(database_now() - task.last_run_at) < timedelta(minutes=5)
    assert (task.code_default.name, task.code_default.source) == ("purge", Source.DECORATOR)


def test_another_declared_spread_moves_the_next_run(declare, sync):
    declare("0 * * * *")
    sync()
    before = get().last_run_at
    TaskState.objects.update(accounted_until=before)
    declare("0 * * * *", spread=timedelta(minutes=30))
    sync()
    task = get()
    offset = spread_offset(task)
    assert timedelta(0) < offset < timedelta(minutes=30)
    assert task.state.accounted_until == before + offset
    assert task.state.next_run_at == schedules.next_run(task, before + offset)
    assert (task.state.next_run_at - offset).minute == 0
    assert edited_fields(task) == ()
    operator_sets_state(spread=None)
    assert edited_fields(get()) == ("spread",)


def operator_sets_state(**columns):
    TaskState.objects.update(**columns)


def test_a_zone_that_is_not_declared_is_celerys(declare, sync):
    declare("0 3 * * *")
    sync()
    assert str(get().crontab.timezone) == "Europe/Paris"


def test_a_task_declared_disabled_starts_disabled(declare, sync):
    declare("0 3 * * *", enabled=False)
    sync()
    task = get()
    assert (task.enabled, task.state.enabled_since, edited_fields(task)) == (False, None, ())


def test_a_second_sync_changes_nothing(declare, sync):
    declare("0 3 * * *", grace=timedelta(seconds=90), kwargs={"a": [1, {"b": None}]}, expires=60)
    sync()
    changed = PeriodicTasks.last_change()
    report = sync()
    assert (report.unchanged, report.changed, report.problems) == (("purge",), False, ())
    assert PeriodicTasks.last_change() == changed


def test_a_declared_zero_is_no_edit(declare, sync):
    declare("0 3 * * *", grace=timedelta(0), retention=timedelta(0), priority=0)
    sync()
    assert (edited_fields(get()), sync().changed) == ((), False)


def test_what_nobody_edited_follows_the_code(declare, sync):
    declare("0 3 * * *", description="old", args=[1], queue="a", overlap="allow", grace=timedelta(1))
    sync()
    before = get()
    declare("0 4 * * *", description="new", args=[2], task_name="tests.moved", expires=9)
    report = sync()
    task = get()
    assert report.updated == ("purge",)
    assert cron_of(task) == "0 4 * * * Europe/Paris"
    assert (task.description, task.args, task.queue, task.expire_seconds) == ("new", "[2]", None, 9)
    assert (task.state.overlap, task.state.grace, task.task) == ("", None, "tests.moved")
    assert task.pk == before.pk
    assert "'0 3 * * *' → '0 4 * * *'" in report.changes[0]


def test_a_changed_schedule_counts_from_now_and_leaves_the_shared_row(declare, sync):
    declare("0 3 * * *")
    sync()
    other = make_task("other", None, crontab=get().crontab)
    TaskState.objects.update(accounted_until=database_now() - timedelta(days=2), next_run_at=database_now())
    PeriodicTask.objects.update(last_run_at=database_now() - timedelta(days=2))
    changed = PeriodicTasks.last_change()
    declare("0 4 * * *")
    sync()
    task = get()
    assert abs(database_now() - task.last_run_at) < timedelta(minutes=5)
    assert task.state.accounted_until == task.last_run_at
    assert task.state.next_run_at == schedules.next_run(task, task.last_run_at)
    assert PeriodicTasks.last_change() > changed
    other.refresh_from_db()
    assert cron_of(other) == "0 3 * * * Europe/Paris"


def test_repeated_crontab_rows_do_not_matter(declare, sync):
    row = {"minute": "0", "hour": "3", "timezone": "Europe/Paris"}
    first = CrontabSchedule.objects.create(**row)
    CrontabSchedule.objects.create(**row)
    declare("0 3 * * *")
    sync()
    assert get().crontab_id == first.pk


def test_a_change_of_the_description_does_not_touch_the_clock(declare, sync):
    declare("0 3 * * *", description="old")
    sync()
    long_ago = database_now() - timedelta(days=2)
    PeriodicTask.objects.update(last_run_at=long_ago)
    declare("0 3 * * *", description="new")
    sync()
    assert get().last_run_at == long_ago


def test_an_operators_edit_stays(declare, sync):
    declare("0 3 * * *", description="old", queue="a")
    sync()
    operator_sets(cron="30 5 * * *", description="theirs")
    declare("0 4 * * *", description="new", queue="b")
    report = sync()
    task = get()
    assert (cron_of(task), task.description) == ("30 5 * * * Europe/Paris", "theirs")
    assert task.queue == "b"
    assert report.kept == ("purge",)
    assert edited_fields(task) == ("schedule", "description")


def test_an_edited_schedule_still_follows_the_declared_zone(declare, sync):
    declare("0 3 * * *", timezone="UTC")
    sync()
    operator_sets(cron="30 5 * * *", zone="UTC")
    declare("0 3 * * *", timezone="Asia/Kolkata")
    sync()
    assert cron_of(get()) == "30 5 * * * Asia/Kolkata"


def test_an_operators_other_kind_of_schedule_stays(declare, sync):
    declare("0 3 * * *")
    sync()
    operator_sets(crontab=None, interval=IntervalSchedule.objects.create(every=10, period="minutes"))
    declare("0 4 * * *", timezone="UTC")
    assert sync().kept == ("purge",)
    assert get().interval.every == 10
    assert get().crontab is None


def test_the_same_schedule_written_otherwise_is_no_edit(declare, sync):
    declare("0 3 * * 1-5")
    sync()
    operator_sets(cron="00 03 * * MON-FRI")
    assert edited_fields(get()) == ()


@pytest.mark.parametrize("arguments", ['{"batch": 5}', "{not json", "[]"])
def test_edited_arguments_stay(declare, sync, arguments):
    declare("0 3 * * *", kwargs={"batch": 100})
    sync()
    operator_sets(kwargs=arguments)
    declare("0 3 * * *", kwargs={"batch": 200})
    sync()
    assert get().kwargs == arguments
    assert edited_fields(get()) == ("kwargs",)


def test_old_and_new_code_in_turn_lose_no_edit(declare, sync):
    """A rolling deploy: the operator's choice happens to be what the other code declares."""
    declare("0 4 * * *")
    sync()
    operator_sets(cron="0 3 * * *")
    for cron in ("0 3 * * *", "0 4 * * *", "0 3 * * *", "0 4 * * *", "0 5 * * *"):
        declare(cron)
        sync()
        assert cron_of(get()) == "0 3 * * * Europe/Paris"
    assert edited_fields(get()) == ("schedule",)


def test_old_and_new_code_in_turn_leave_nothing_paused(declare, sync):
    for _ in range(2):
        declare("0 3 * * *")
        declare("0 3 * * *", "added-by-new-code", more=True)
        sync()
        assert get("added-by-new-code").enabled
        declare("0 3 * * *")
        assert sync().gone == ("added-by-new-code",)
        assert not get("added-by-new-code").enabled
    declare("0 3 * * *", "added-by-new-code")
    sync()
    assert get("added-by-new-code").enabled


def test_gone_from_code_is_flagged_and_paused(declare, sync):
    declare("0 3 * * *")
    declare("0 3 * * *", "other", more=True)
    sync()
    declare("0 3 * * *", "other")
    report = sync()
    task = get()
    assert report.gone == ("purge",)
    assert (task.enabled, task.state.paused_by) == (False, PausedBy.SYNC)
    assert task.state.paused_at == task.code_default.gone_since
    assert sync().gone == ()


def test_what_is_gone_is_noted_where_nothing_else_of_the_task_changes(declare, sync):
    """The page reads tasks again when django-celery-beat has noted an edit."""
    declare("0 3 * * *")
    declare("0 3 * * *", "other", more=True)
    sync()
    ScheduledTask.objects.filter(name="purge").update(enabled=False)
    declare("0 3 * * *", "other")
    before = PeriodicTasks.last_change()
    assert sync().gone == ("purge",)
    assert PeriodicTasks.last_change() > before


def test_pausing_what_is_gone_leaves_what_beat_writes_meanwhile(declare, sync, monkeypatch):
    declare("0 3 * * *")
    sync()
    later = database_now() + timedelta(hours=1)
    saving = ScheduledTask.save

    def beat_claims_first(self, *args, **kwargs):
        TaskState.objects.filter(task_id=self.pk).update(accounted_until=later)
        saving(self, *args, **kwargs)

    monkeypatch.setattr(ScheduledTask, "save", beat_claims_first)
    declare("0 4 * * *", name="other")
    assert sync().gone == ("purge",)
    assert get().state.paused_by == PausedBy.SYNC
    assert get().state.accounted_until == later


def test_back_in_code_is_resumed_from_now(declare, sync):
    declare("0 3 * * *")
    declare("0 3 * * *", "other", more=True)
    sync()
    declare("0 3 * * *", "other")
    sync()
    declare("0 4 * * *", more=True)
    report = sync()
    task = get()
    assert report.resumed == ("purge",)
    assert (task.enabled, task.state.paused_by, task.state.paused_at) == (True, "", None)
    assert (task.code_default.gone_since, cron_of(task)) == (None, "0 4 * * * Europe/Paris")
    assert task.last_run_at == task.state.enabled_since
    assert abs(database_now() - task.last_run_at) < timedelta(minutes=5)


def test_an_operators_pause_outlives_a_task_going_and_coming_back(declare, sync):
    declare("0 3 * * *")
    declare("0 3 * * *", "other", more=True)
    sync()
    operator_pauses()
    declare("0 3 * * *", "other")
    sync()
    assert get().state.paused_by == PausedBy.OPERATOR
    declare("0 3 * * *", more=True)
    sync()
    task = get()
    assert (task.enabled, task.code_default.gone_since, task.state.paused_by) == (
        False,
        None,
        PausedBy.OPERATOR,
    )


def test_a_gone_task_that_an_operator_enabled_runs_on(declare, sync):
    declare("0 3 * * *")
    declare("0 3 * * *", "other", more=True)
    sync()
    declare("0 3 * * *", "other")
    sync()
    operator_sets(enabled=True)
    TaskState.objects.filter(task__name="purge").update(paused_by="")
    sync()
    assert get().enabled


def test_an_operators_pause_stays_whatever_code_declares(declare, sync):
    declare("0 3 * * *")
    sync()
    operator_pauses()
    for enabled in (True, False, True):
        declare("0 3 * * *", enabled=enabled)
        sync()
        assert not get().enabled
    assert edited_fields(get()) == ()


def test_a_pause_made_in_django_celery_beats_own_admin_stays(declare, sync):
    declare("0 3 * * *")
    sync()
    operator_sets(enabled=False)
    declare("0 4 * * *")
    assert sync().kept == ()
    assert not get().enabled
    assert cron_of(get()) == "0 4 * * * Europe/Paris"


def test_code_may_disable_and_enable_what_nobody_switched(declare, sync):
    for enabled in (True, False, True):
        declare("0 3 * * *", enabled=enabled)
        sync()
        assert get().enabled is enabled


def test_deleted_by_an_operator_stays_deleted(declare, sync):
    declare("0 3 * * *")
    sync()
    get().delete()
    report = sync()
    assert (report.deleted, report.created, report.changed) == (("purge",), (), False)
    assert not ScheduledTask.objects.exists()


def test_recreate_brings_it_back(declare, sync):
    declare("0 3 * * *")
    sync()
    get().delete()
    assert sync(recreate=True).created == ("purge",)
    assert get().code_default.task_id == get().pk
    assert CodeDefault.objects.count() == 1


def test_a_task_made_elsewhere_is_adopted_with_its_values(declare, sync):
    make_task("purge", "15 6 * * *", "Europe/Paris", description="ours", enabled=False)
    declare("0 3 * * *", description="code's")
    report = sync()
    task = get()
    assert (report.updated, report.created, report.kept) == (("purge",), (), ("purge",))
    assert (cron_of(task), task.description, task.enabled) == ("15 6 * * * Europe/Paris", "ours", False)
    assert task.task == "tests.purge"
    assert edited_fields(task) == ("schedule", "description")


def test_what_an_adopted_task_has_as_declared_follows_the_code_later(declare, sync):
    make_task("purge", "0 3 * * *", "Europe/Paris")
    declare("0 3 * * *")
    sync()
    declare("0 4 * * *")
    sync()
    assert cron_of(get()) == "0 4 * * * Europe/Paris"


def test_made_again_by_hand_after_deletion_is_adopted(declare, sync):
    declare("0 3 * * *")
    sync()
    get().delete()
    made = make_task("purge", "15 6 * * *", "Europe/Paris")
    sync()
    assert get().pk == made.pk == CodeDefault.objects.get().task_id
    assert edited_fields(get()) == ("schedule",)


def test_a_renamed_task_stays_the_same_task(declare, sync):
    declare("0 3 * * *")
    sync()
    PeriodicTask.objects.update(name="tidy up")
    declare("0 4 * * *")
    sync()
    assert ScheduledTask.objects.count() == 1
    assert cron_of(get("tidy up")) == "0 4 * * * Europe/Paris"


def test_one_refused_task_does_not_stop_the_others(declare, sync):
    declare("0 3 * * *")
    declare("0 3 * * *", "other", more=True)
    sync()
    operator_sets(expires=database_now() + timedelta(days=1))
    declare("0 3 * * *", expires=60)
    declare("0 4 * * *", "other", more=True)
    report = sync()
    assert report.problems == ("purge was not synced: Only one can be set, in expires and expire_seconds",)
    assert report.updated == ("other",)
    assert get().expire_seconds is None
    assert cron_of(get("other")) == "0 4 * * * Europe/Paris"


@pytest.mark.parametrize("weekday", ["7", "9", "nonsense"])
def test_a_stored_schedule_that_beat_cannot_run_is_mended_by_a_reset(declare, sync, weekday):
    declare("0 3 * * 0")
    sync()
    CrontabSchedule.objects.update(day_of_week=weekday)
    TaskState.objects.update(broken_reason="no_schedule")
    assert edited_fields(get()) == ("schedule",)
    apply_default(get())
    assert (cron_of(get()), get().state.broken_reason) == ("0 3 * * 0 Europe/Paris", "")


def test_reset_takes_the_default(declare, sync):
    declare("0 4 * * *", description="code's")
    sync()
    operator_sets(cron="0 3 * * *", description="ours")
    operator_pauses()
    declare("0 3 * * *", description="code's")
    sync()
    declare("0 5 * * *", description="code's")
    sync()
    apply_default(get())
    task = get()
    assert (cron_of(task), task.description) == ("0 5 * * * Europe/Paris", "code's")
    assert not task.enabled
    assert (edited_fields(task), task.code_default.chosen) == ((), [])
    declare("0 6 * * *", description="code's")
    sync()
    assert cron_of(get()) == "0 6 * * * Europe/Paris"


def test_edited_fields_costs_no_query(declare, sync):
    declare("0 3 * * *")
    sync()
    operator_sets(cron="0 4 * * *")
    task = get()
    elsewhere = make_task("elsewhere")
    elsewhere = get("elsewhere")
    with CaptureQueriesContext(connection) as queries:
        assert edited_fields(task) == ("schedule",)
        assert edited_fields(elsewhere) == ()
    assert len(queries) == 0


def test_what_is_gone_when_beat_starts_is_paused(declare, app, sync):
    """Also when nobody ran ``migrate`` after the deploy."""
    declare("0 3 * * *")
    declare("0 3 * * *", "other", more=True)
    sync()
    declare("0 3 * * *", "other")
    report = sync_at_beat_start(app)
    assert (report.created, report.gone) == ((), ("purge",))
    task = get()
    assert (task.enabled, task.state.paused_by) == (False, PausedBy.SYNC)
    assert task.code_default.gone_since is not None


def test_a_process_that_declares_nothing_pauses_nothing(declare, sync):
    declare("0 3 * * *")
    sync()
    declare()
    report = sync()
    assert get().enabled
    assert not report.changed
    assert len(report.problems) == 1
    assert report.problems[0].startswith("This process found no @scheduled_task at all")


def test_nothing_declared_ever_is_nothing_to_say(sync):
    report = sync()
    assert (report.problems, report.changes) == ((), ())


def test_a_module_that_cannot_be_imported_changes_nothing(declare, app, sync):
    declare("0 3 * * *")
    app.conf.imports = ["no_such_module"]
    report = sync()
    (problem,) = report.problems
    assert problem.startswith("A task module could not be imported (ModuleNotFoundError: No module named 'no")
    assert problem.endswith("Nothing was changed.")
    assert not PeriodicTask.objects.exists()


def test_a_module_that_exits_is_named_and_changes_nothing(declare, app, sync, tmp_path, monkeypatch):
    """A script among the task modules, say, which reads its command line when it is imported."""
    declare("0 3 * * *")
    (tmp_path / "script_of_a_shop.py").write_text("import argparse\nargparse.ArgumentParser().error('no')\n")
    monkeypatch.syspath_prepend(tmp_path)
    app.conf.imports = ["script_of_a_shop"]
    place = f'"{tmp_path}/script_of_a_shop.py", line 2'
    assert sync().problems == (
        f"A task module could not be imported (SystemExit: 2) at {place}. Nothing was changed.",
    )
    assert not PeriodicTask.objects.exists()


NO_TASK = "It must be a function with a name, neither a lambda nor a functools.partial."


def test_what_celery_makes_no_task_of_is_told_in_a_sentence(declare, app, sync):
    declare("0 3 * * *")
    app.task(name="tests.nameless", shared=False)(lambda: None)  # no other app has it
    (problem,) = sync().problems
    assert problem.startswith("Celery could not make a task of what a module registers (SyntaxError: ")
    assert problem.endswith(f". {NO_TASK} Nothing was changed.")
    assert not PeriodicTask.objects.exists()


def test_a_declared_task_that_celery_cannot_make_stops_no_other(declare, sync):
    declare("0 3 * * *", name="other")
    declare("0 3 * * *", more=True)
    sync()
    made = registry.definitions.pop("purge")
    elsewhere = Celery("elsewhere", set_as_current=False)  # an app that has not made its tasks yet
    nameless = elsewhere.task(name="tests.nameless", shared=False)(partial(job, 1))
    registry.add(replace(made, task=nameless))
    registry.definitions["other"].values["schedule"] = "0 4 * * *"
    report = sync()
    why = "AttributeError: 'functools.partial' object has no attribute '__name__'"
    assert report.problems == (f"Celery could not make a task of “purge” ({why}). {NO_TASK}",)
    assert (report.updated, report.gone) == (("other",), ())


@pytest.mark.parametrize("fallback", [None, Celery("default", set_as_current=False, loader="default")])
def test_no_app_of_the_project_changes_nothing(declare, monkeypatch, fallback):
    declare("0 3 * * *")
    monkeypatch.setattr(_state, "default_app", fallback)
    monkeypatch.setattr(_state._tls, "current_app", None)
    report = syncing.sync()
    assert report.problems == (
        "This process has no Celery app of the project. Import it in the project's __init__.py.",
    )
    assert _state.default_app is fallback
    assert not PeriodicTask.objects.exists()


def entries(app, **schedules):
    app.conf.beat_schedule = {
        name.replace("_", "-"): {"task": f"tests.{name}", "schedule": value}
        for name, value in schedules.items()
    }


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (crontab(hour=3, minute=0), "0 3 * * * Europe/Paris"),
        (crontab(minute="*/15", day_of_week="mon-fri"), "*/15 * * * 1-5 Europe/Paris"),
        (crontab(0, "22-2", day_of_week="monday,sunday"), "0 0,1,2,22,23 * * 0,1 Europe/Paris"),
        (crontab({0, 30}, [3]), "0,30 3 * * * Europe/Paris"),
    ],
)
def test_crontabs_of_the_beat_schedule(app, sync, given, stored):
    entries(app, purge=given)
    assert sync().created == ("purge",)
    assert cron_of(get()) == stored
    assert get().code_default.source == Source.BEAT_SCHEDULE
    assert sync().unchanged == ("purge",)


@pytest.mark.parametrize(
    ("given", "every", "period"),
    [
        (30, 30, "seconds"),
        (timedelta(hours=2), 2, "hours"),
        (90 * 60, 90, "minutes"),
        (schedule(timedelta(seconds=1.5)), 1_500_000, "microseconds"),
    ],
)
def test_intervals_of_the_beat_schedule(app, sync, given, every, period):
    IntervalSchedule.objects.create(every=every, period=period)
    IntervalSchedule.objects.create(every=every, period=period)
    entries(app, purge=given)
    sync()
    assert (get().interval.every, get().interval.period) == (every, period)
    assert sync().unchanged == ("purge",)


def test_solar_entries_of_the_beat_schedule(app, sync):
    entries(app, purge=solar("sunset", -37.81753, 144.96715))
    sync()
    assert get().solar.event == "sunset"
    assert sync().unchanged == ("purge",)


def test_options_of_the_beat_schedule(app, sync):
    app.conf.beat_schedule = {
        "purge": {
            "task": "tests.purge",
            "schedule": 30,
            "args": (1,),
            "kwargs": {"deep": True},
            "options": {"queue": "slow", "priority": 2, "expires": timedelta(minutes=1), "headers": {"x": 1}},
        }
    }
    sync()
    task = get()
    assert (task.args, task.kwargs, task.headers) == ("[1]", '{"deep": true}', '{"x": 1}')
    assert (task.queue, task.priority, task.expire_seconds) == ("slow", 2, 60)


def test_options_that_a_stored_task_cannot_keep_are_named(app, sync):
    entries(app, purge=30, keep=30)
    kept = {"queue": "slow", "exchange": "jobs", "routing_key": "slow", "priority": 2, "expires": 60}
    app.conf.beat_schedule["keep"]["options"] = {**kept, "headers": {"x": 1}, "time_limit": None}
    app.conf.beat_schedule["purge"]["options"] = {"time_limit": 60, "queue": "slow", "soft_time_limit": 50}
    report = sync()
    [sentence] = report.problems
    assert sentence == (
        "The entry “purge” of CELERY_BEAT_SCHEDULE has options that no stored task keeps: time_limit, "
        "soft_time_limit. It keeps queue, exchange, routing_key, priority, expires, headers; give others to "
        "the task's own decorator, such as @shared_task(time_limit=60)."
    )
    assert (report.created, get().queue) == (("keep", "purge"), "slow")
    task = get("keep")
    assert (task.queue, task.exchange, task.routing_key, task.priority) == ("slow", "jobs", "slow", 2)
    assert sync().problems == report.problems


def test_tasks_added_by_the_apps_own_signal(app, sync):
    @app.on_after_finalize.connect
    def add(sender, **_):
        sender.add_periodic_task(30, task("tests.added").s(1), name="added")

    assert sync().created == ("added",)
    assert (get("added").task, get("added").args) == ("tests.added", "[1]")


def test_an_edit_of_a_beat_schedule_entry_stays_and_the_rest_follows(app, sync):
    entries(app, purge=crontab(minute=0, hour=3))
    sync()
    operator_sets(cron="30 5 * * *", description="mine")
    app.conf.beat_schedule["purge"] |= {"schedule": crontab(minute=0, hour=4), "args": (2,)}
    sync()
    assert cron_of(get()) == "30 5 * * * Europe/Paris"
    assert (get().description, get().args) == ("mine", "[2]")
    assert edited_fields(get()) == ("schedule",)


def test_an_entry_removed_from_the_beat_schedule_is_gone(app, sync):
    entries(app, purge=30, keep=30)
    sync()
    entries(app, keep=30)
    assert sync().gone == ("purge",)
    entries(app)
    assert sync().gone == ("keep",)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"schedule": "every day", "task": "t"}, "is of no kind that can be stored"),
        ({"schedule": timedelta(0), "task": "t"}, "is of no kind that can be stored"),
        ({"schedule": crontab(day_of_month=31), "task": "t", "args": [{1, 2}]}, "TypeError"),
        ({"schedule": 30}, "it has no task."),
        ({"task": "t"}, "it has no schedule."),
        ({"task": "t", "shedule": 30}, 'its key "shedule" is not known; did you mean "schedule"?'),
        ({"task": "t", "schedule": 30, "one_off": True}, 'its key "one_off" is not known.'),
        (
            {"task": "t", "schedule": 30, "options": {"expires": "soon"}},
            "its expiry must be a number of seconds",
        ),
    ],
)
def test_an_unusable_entry_is_named_and_not_taken_for_gone(app, sync, entry, why):
    entries(app, purge=30)
    sync()
    app.conf.beat_schedule = {"purge": entry}
    report = sync()
    assert report.problems[0].startswith("The entry “purge” of CELERY_BEAT_SCHEDULE is unusable: ")
    assert why in report.problems[0]
    assert (report.gone, get().enabled) == ((), True)


def test_a_name_in_both_places(declare, app, sync):
    entries(app, purge=30)
    declare("0 3 * * *")
    report = sync()
    assert cron_of(get()) == "0 3 * * * Europe/Paris"
    assert report.problems == (
        "“purge” is in CELERY_BEAT_SCHEDULE too; its @scheduled_task counts. Remove one of them.",
    )


def test_an_entry_that_moves_to_a_decorator_stays_the_same_task(declare, app, sync):
    entries(app, purge=crontab(minute=0, hour=3))
    sync()
    operator_sets(cron="30 5 * * *")
    pk = get().pk
    entries(app)
    declare("0 3 * * *")
    sync()
    assert (get().pk, get().code_default.source) == (pk, Source.DECORATOR)
    assert edited_fields(get()) == ("schedule",)


def test_celerys_own_cleanup_comes_with_a_result_backend_that_needs_it(app, sync):
    app.conf.result_backend = "cache+memory://"
    app.backend.supports_autoexpire = False
    assert sync().created == ("celery.backend_cleanup",)
    task = get("celery.backend_cleanup")
    assert (cron_of(task), task.expire_seconds) == ("0 4 * * * Europe/Paris", 43200)


def test_check_says_what_would_change_and_changes_nothing(declare, sync):
    declare("0 3 * * *", "stays")
    declare("0 3 * * *", "changes", more=True)
    declare("0 3 * * *", "goes", more=True)
    sync()
    declare("0 3 * * *", "stays")
    declare("0 4 * * *", "changes", more=True)
    declare("0 3 * * *", "comes", more=True)
    with CaptureQueriesContext(connection) as queries:
        report = sync(check=True)
    assert (report.created, report.updated, report.gone) == (("comes",), ("changes",), ("goes",))
    assert all(query["sql"].startswith("SELECT") for query in queries)
    assert [report.changed, sync().changed, sync(check=True).changed] == [True, True, False]


@pytest.fixture
def current_app(app, monkeypatch):
    """The app of this module in place of the process's."""
    monkeypatch.setattr(_state._tls, "current_app", app)


def command(*arguments):
    out, errors, status = io.StringIO(), io.StringIO(), 0
    try:
        call_command("sync_scheduled_tasks", *arguments, stdout=out, stderr=errors, no_color=True)
    except SystemExit as end:
        status = end.code
    return status, out.getvalue(), errors.getvalue()


@pytest.mark.usefixtures("current_app")
def test_the_command(declare):
    declare("0 3 * * *")
    created = "purge: created (0 3 * * * Europe/Paris)\n"
    assert command("--check") == (1, created + "1 of 1 tasks would change.\n", "")
    assert not PeriodicTask.objects.exists()
    assert command() == (0, created + "1 of 1 tasks changed.\n", "")
    assert command("--check") == (0, "0 of 1 tasks would change.\n", "")
    operator_sets(description="mine")
    assert command() == (0, "An operator's edits were kept: purge\n0 of 1 tasks changed.\n", "")
    get().delete()
    status, out, _ = command()
    assert (status, out.splitlines()[0]) == (
        0,
        "Deleted by an operator, left so (--recreate brings them back): purge",
    )
    assert command("--recreate") == (0, created + "1 of 1 tasks changed.\n", "")


@pytest.mark.usefixtures("current_app")
def test_the_command_fails_with_the_problem(app):
    app.conf.imports = ["no_such_module"]
    status, _, errors = command()
    assert status == 1
    assert errors.startswith("A task module could not be imported")


def test_the_command_says_that_tables_are_missing(monkeypatch):
    monkeypatch.setattr(connection.introspection, "table_names", lambda: ["auth_user"])
    with pytest.raises(CommandError, match=r"Run: manage\.py migrate"):
        command()


@pytest.fixture
def migrated(monkeypatch, current_app):
    """Send ``post_migrate`` as ``migrate`` does, outside a test runner; returns what it wrote."""
    monkeypatch.setattr(syncing, "under_test", lambda: False)

    def send(**changes):
        out = io.StringIO()
        sync_at_migrate(None, **{"using": "default", "plan": [], "stdout": out, "verbosity": 1, **changes})
        return out.getvalue()

    return send


def test_migrate_syncs(declare, migrated):
    declare("0 3 * * *")
    assert migrated() == "Scheduled tasks: purge: created (0 3 * * * Europe/Paris)\n"
    assert get().enabled
    assert migrated() == ""


def test_quiet_migrate_is_quiet(declare, migrated):
    declare("0 3 * * *")
    assert migrated(verbosity=0) == ""
    assert get().enabled


def test_flush_and_another_database_sync_nothing(declare, migrated):
    declare("0 3 * * *")
    sync_at_migrate(None, using="default")
    migrated(using="other")
    assert not PeriodicTask.objects.exists()


def test_migrate_under_a_test_runner_syncs_nothing(declare, migrated, monkeypatch):
    monkeypatch.undo()
    declare("0 3 * * *")
    assert syncing.under_test()
    migrated()
    assert not PeriodicTask.objects.exists()


def test_migrate_without_our_tables_syncs_nothing(declare, migrated, monkeypatch):
    declare("0 3 * * *")
    monkeypatch.setattr(connection.introspection, "table_names", lambda: ["django_celery_beat_periodictask"])
    assert migrated() == ""
    assert not PeriodicTask.objects.exists()


def test_a_database_that_refuses_fails_no_migration(migrated, monkeypatch, capsys):
    def refuse(**_):
        raise DatabaseError("no such column: chosen")

    monkeypatch.setattr(syncing, "sync", refuse)
    migrated()
    assert capsys.readouterr().err == (
        "Scheduled tasks: The database refused the sync: no such column: chosen\n"
    )


def test_secrets_are_not_named_by_a_sync(declare, sync):
    declare("0 3 * * *", kwargs={"api_token": "OLD", "n": 1})
    sync()
    declare("0 3 * * *", kwargs={"api_token": "NEW", "n": 2}, args=["postgres://ada:NEW@db/x"])
    for report in (sync(check=True), sync()):
        lines = "\n".join([*report.changes, *report.problems])
        assert "'n': 2" in lines
        assert "OLD" not in lines
        assert "NEW" not in lines
    assert get().kwargs == '{"api_token": "NEW", "n": 2}'


def test_a_row_that_another_job_took_is_left_to_it(declare, sync):
    """A fixture may put another job under the id of a declared one."""
    declare("0 3 * * *", "cleanup")
    declare("0 4 * * *", "stays", more=True)
    sync()
    pk = get("cleanup").pk
    ScheduledTask.objects.filter(pk=pk).update(name="billing", task="billing.run", description="theirs")
    report = sync()
    assert report.created == ("cleanup",)
    billing = ScheduledTask.objects.get(pk=pk)
    assert (billing.name, billing.task, billing.description) == ("billing", "billing.run", "theirs")
    assert billing.code_default is None
    assert get("cleanup").task == "tests.cleanup"
    assert (sync().changed, CodeDefault.objects.count()) == (False, 2)


def test_a_row_of_another_job_is_no_longer_of_code_when_its_code_is_gone(declare, sync):
    declare("0 3 * * *", "cleanup")
    declare("0 4 * * *", "stays", more=True)
    sync()
    ScheduledTask.objects.filter(name="cleanup").update(name="billing", task="billing.run")
    declare("0 4 * * *", "stays")
    report = sync()
    assert (report.gone, report.changes) == ((), ())
    billing = get("billing")
    assert (billing.enabled, billing.code_default) == (True, None)


def test_two_jobs_that_changed_ids_stay_themselves(declare, sync):
    declare("0 3 * * *", "one")
    declare("0 4 * * *", "two", more=True)
    sync()
    first, second = get("one").pk, get("two").pk
    for pk, name in ((first, "between"), (second, "one"), (first, "two")):
        ScheduledTask.objects.filter(pk=pk).update(name=name, task=f"tests.{name}")
    sync()
    for name, pk in (("one", second), ("two", first)):
        task = get(name)
        assert (task.pk, task.task, task.code_default.name) == (pk, f"tests.{name}", name)
    assert sync().changed is False


def test_a_job_that_an_operator_renamed_and_code_moved_later_is_the_same(declare, sync):
    declare("0 3 * * *")
    sync()
    PeriodicTask.objects.update(name="tidy up")
    declare("0 3 * * *", task_name="tests.moved")
    sync()
    assert (get("tidy up").task, ScheduledTask.objects.count()) == ("tests.moved", 1)


@pytest.mark.parametrize("renamed", ["PURGE", "Purge", "pürge", "purge "])
def test_a_name_that_mariadb_takes_for_the_same_is_the_same_task(declare, sync, renamed):
    declare("0 3 * * *", description="old")
    sync()
    pk = get().pk
    declare("0 3 * * *", renamed, task_name="tests.purge", description="new")
    report = sync()
    assert (report.updated, report.gone, report.problems) == ((renamed,), (), ())
    task = get(renamed)
    assert (task.pk, task.enabled, task.description) == (pk, True, "new")
    assert (CodeDefault.objects.get().name, sync().changed) == (renamed, False)


def test_names_that_differ_in_case_are_two_tasks_where_the_database_allows_it(declare, sync):
    declare("0 3 * * *")
    sync()
    declare("0 4 * * *", "PURGE", more=True, task_name="tests.purge")
    report = sync()
    if connection.vendor == "mysql":
        assert len(report.problems) == 1
    else:
        assert report.created == ("PURGE",)
    assert cron_of(get()) == "0 3 * * * Europe/Paris"


def sync_error():
    return Machinery.read().sync_error


def fail_to_read(app=None):
    raise syncing.CodeUnreadable("A task module could not be imported (password=hunter2).")


def fail_otherwise(app=None):
    raise RuntimeError("out of order \x00\ud83d" + "!" * 1000)


@pytest.mark.parametrize("way", ["migrate", "beat", "command"])
@pytest.mark.parametrize("fail", [fail_to_read, fail_otherwise])
def test_the_page_tells_of_a_failed_sync_until_one_succeeds(declare, sync, migrated, monkeypatch, way, fail):
    declare("0 3 * * *")
    sync()
    assert sync_error() == ""
    with monkeypatch.context() as patch, suppress(RuntimeError, SystemExit):
        patch.setattr(syncing, "read", fail)
        {"migrate": migrated, "beat": sync_at_beat_start, "command": command}[way]()
    found = sync_error()
    assert found.startswith(("A task module could not", "RuntimeError: out of order"))
    assert "hunter2" not in found
    sync(check=True)
    assert sync_error() == found
    sync()
    assert sync_error() == ""


def test_a_check_that_fails_is_no_failed_sync(sync, monkeypatch):
    monkeypatch.setattr(syncing, "read", fail_to_read)
    assert sync(check=True).problems
    assert sync_error() == ""


def test_a_sync_that_the_database_stops_is_told(declare, sync, monkeypatch):
    declare("0 3 * * *")
    monkeypatch.setattr(syncing, "database_now", fail_in_database)
    with pytest.raises(DatabaseError):
        sync()
    assert sync_error() == "DatabaseError: deadlock"


def fail_in_database():
    raise DatabaseError("deadlock")


@pytest.fixture
def unreadable_zone(declare, sync):
    """A declared task whose crontab row has a zone that nobody knows."""
    declare("0 3 * * *", timezone="Asia/Kolkata")
    declare("0 3 * * *", "other", more=True)
    sync()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_celery_beat_crontabschedule SET timezone = 'Mars/Base' WHERE timezone = %s",
            ["Asia/Kolkata"],
        )


@pytest.mark.usefixtures("unreadable_zone")
def test_a_row_that_cannot_be_read_stops_no_sync(declare, sync):
    declare("0 3 * * *", timezone="Asia/Kolkata", description="new")
    declare("0 4 * * *", "other", more=True)
    report = sync()
    assert "other" in report.updated
    assert cron_of(get("other")) == "0 4 * * * Europe/Paris"
    assert all(problem.startswith("purge was not synced: ") for problem in report.problems)
    assert sync(check=True).created == ()


@pytest.mark.usefixtures("unreadable_zone")
def test_a_row_that_cannot_be_read_stops_no_migration(declare, current_app, monkeypatch, capsys):
    monkeypatch.setattr(syncing, "under_test", lambda: False)
    declare("0 5 * * *", "other")
    sync_at_migrate(None, using="default", plan=[], verbosity=1)
    assert "other: updated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("every", "period"), [(5_000_000, "days"), (-1, "hours"), (1, "fortnights"), (1, "microseconds")]
)
def test_an_interval_that_cannot_be_scheduled_stops_no_sync(declare, sync, every, period):
    declare("0 3 * * *")
    declare("0 3 * * *", "other", more=True)
    sync()
    row = IntervalSchedule.objects.create(every=30, period="days")
    operator_sets(crontab=None, interval=row)
    IntervalSchedule.objects.filter(pk=row.pk).update(every=every, period=period)
    declare("0 3 * * *", description="new")
    declare("0 4 * * *", "other", more=True)
    report = sync()
    assert (report.problems, report.updated) == ((), ("other", "purge"))
    assert get().description == "new"
    assert edited_fields(get()) == ("schedule", "timezone")


def test_whatever_goes_wrong_fails_no_migration(migrated, monkeypatch, capsys):
    def fail(**_):
        raise RuntimeError("broken")

    monkeypatch.setattr(syncing, "sync", fail)
    migrated()
    assert capsys.readouterr().err == "Scheduled tasks: The sync failed (RuntimeError: broken).\n"


@pytest.fixture
def project(app, monkeypatch):
    """Import task modules as Celery's Django fixup does it, with a check that fails and a new LOGGING."""

    def failing(**_):
        raise RuntimeError("a check of another app")

    def import_task_modules():
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": True})
        if not os.environ.get("CELERY_SKIP_CHECKS"):
            failing()

    monkeypatch.delenv("CELERY_SKIP_CHECKS", raising=False)
    monkeypatch.setattr(app.loader, "import_default_modules", import_task_modules)
    disabled = {
        name: each.disabled
        for name, each in logging.root.manager.loggerDict.items()
        if hasattr(each, "disabled")
    }
    yield app
    for name, before in disabled.items():
        logging.getLogger(name).disabled = before


def test_system_checks_of_others_do_not_run(declare, project):
    declare("0 3 * * *")
    assert syncing.sync(app=project).created == ("purge",)
    assert "CELERY_SKIP_CHECKS" not in os.environ


def test_what_went_wrong_at_beats_start_is_logged_whatever_logging_says(declare, project, monkeypatch):
    project.conf.beat_schedule = {"wrong": 5}
    lines = []
    monkeypatch.setattr(syncing.logger, "handle", lambda record: lines.append(record.getMessage()))
    sync_at_beat_start(project)
    assert not syncing.logger.disabled
    assert "The entry “wrong” of CELERY_BEAT_SCHEDULE is unusable" in lines[0]


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="nothing ends the transaction of a file's holder")
@pytest.mark.usefixtures("transactional_db")
def test_a_process_that_stands_still_within_a_sync_keeps_no_other_waiting(declare, sync, monkeypatch):
    declare("0 3 * * *")
    planned, syncing_one, over, errors = syncing._planned, threading.Event(), threading.Event(), []

    def stand_still(*args, **options):
        if threading.current_thread() is not standing:
            return planned(*args, **options)
        syncing_one.set()
        assert over.wait(60)
        return planned(*args, **options)

    def stand() -> None:
        try:
            sync()
        except DatabaseError as error:
            errors.append(error)
        finally:
            connection.close()

    monkeypatch.setattr(own_connection, "SILENCE", 1)
    monkeypatch.setattr(syncing, "_planned", stand_still)
    standing = threading.Thread(target=stand)
    standing.start()
    assert syncing_one.wait(60)
    assert sync().created == ("purge",)
    over.set()
    standing.join(60)
    assert len(errors) == 1
