"""One measured process: ``fill TASKS``, ``idle KIND TASKS``, ``dispatch KIND DUE``, ``asleep SECONDS``.

``KIND`` is ``stock`` or ``ours``. Each prints JSON: processor time in ms, sizes in kB, delays in s.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import django
import psutil
from celery.signals import after_task_publish
from django.apps import apps
from django.db import connection, connections
from django.db.backends.signals import connection_created

IDLE_TICKS = 20
HEAD_START = 6.0
"""Seconds a scheduler has to read its tasks before they are due."""

SLACK = 0.05

SETTLED = 5.0
"""Seconds after which a scheduler that was started does no more than it does for ever."""

WARM_UP = 20
"""Messages that are sent before it counts: the broker's client is imported and connected by then."""

BURSTS = 5
"""How often one process of ours dispatches; the median counts."""


class Sent:
    """Counts what leaves for the broker; ``last`` is when."""

    def __init__(self) -> None:
        self.count, self.last = 0, 0.0
        after_task_publish.connect(self._on_publish, weak=False)

    def _on_publish(self, **_: Any) -> None:
        self.count, self.last = self.count + 1, time.time()


@contextmanager
def statements() -> Iterator[Counter[str]]:
    """The statements of this thread by first word."""
    found: Counter[str] = Counter()

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        found[sql.split(None, 1)[0].upper()] += 1
        return execute(sql, *rest)

    with connection.execute_wrapper(count):
        yield found


def count_statements() -> Counter[str]:
    """The statements by first word of every connection that this process opens from now on, by its driver."""
    found: Counter[str] = Counter()

    def count(sql: Any) -> None:
        found[str(sql).split(None, 1)[0].upper()] += 1

    def watch(connection: Any, **_: Any) -> None:
        driver = connection.connection
        if connection.vendor == "sqlite":
            driver.set_trace_callback(count)
            return

        class Counted(driver.cursor_factory):  # type: ignore[name-defined, misc]
            def execute(self, query: Any, *rest: Any, **options: Any) -> Any:
                count(query)
                return super().execute(query, *rest, **options)

        driver.cursor_factory = Counted

    connection_created.connect(watch, weak=False)
    connections.close_all()
    return found


def cpu() -> float:
    """Processor time of this process in ms."""
    return time.process_time() * 1000


def scheduler_of(kind: str) -> Any:
    """Call it to make a scheduler."""
    from tests.benchmarks.celery import app

    app.loader.import_default_modules()
    if kind == "ours":
        from scheduled_tasks.beat import Scheduler

        return partial(Scheduler, app=app)
    from django_celery_beat.schedulers import DatabaseScheduler

    return partial(DatabaseScheduler, app=app)


def look(beat: Any) -> None:
    """Let the next tick look for changes, which otherwise happens once a second."""
    if getattr(beat, "leader", None) is not None:
        beat.leader._looked_at -= timedelta(seconds=2)


def fill(tasks: str) -> None:
    """That many tasks on 200 different schedules, none of them due today."""
    from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks

    PeriodicTask.objects.all().delete()
    _forget_states()
    today = datetime.now(UTC).day
    # With every hour, because the stock scheduler does not even read what is fixed to an hour far away.
    rows = [
        CrontabSchedule.objects.create(
            minute=n % 60, hour="*", day_of_month=(today + 9 + n // 60) % 28 + 1, timezone="UTC"
        )
        for n in range(200)
    ]
    PeriodicTask.objects.bulk_create(
        (
            PeriodicTask(name=f"task {n}", task="bench.noop", crontab=rows[n % 200], queue="unread")
            for n in range(int(tasks))
        ),
        batch_size=1000,
    )
    PeriodicTasks.update_changed()
    print("{}")


def idle(kind: str, tasks: str) -> dict[str, float]:
    from django_celery_beat.models import PeriodicTasks

    make = scheduler_of(kind)
    before, resident = cpu(), _resident()
    beat = make()
    beat.tick()
    started = cpu() - before
    memory = (_resident() - resident) / int(tasks)
    beat.tick()
    before = cpu()
    for _ in range(IDLE_TICKS):
        look(beat)
        beat.tick()
    ticked = (cpu() - before) / IDLE_TICKS
    PeriodicTasks.update_changed()
    look(beat)
    before = cpu()
    beat.tick()
    reloaded = cpu() - before
    beat.close()
    return {"start": started, "idle": ticked, "reload": reloaded, "memory": memory}


def dispatch(kind: str, due: str) -> dict[str, float]:
    """Ours has a clock of its own, which is put to the moment; the stock one's moment must be waited for."""
    sent, bursts = Sent(), BURSTS if kind == "ours" else 1
    found = [_burst(kind, int(due), sent) for _ in range(bursts)]
    return {key: statistics.median(each[key] for each in found) for key in found[0]}


def _burst(kind: str, count: int, sent: Sent) -> dict[str, float]:
    moment = _make_due(count)
    beat = scheduler_of(kind)()
    beat.tick()
    beat.tick()
    _bare(beat, WARM_UP)
    found = _beside_bare(beat, count, sent, moment) if kind == "ours" else _in_time(beat, count, sent, moment)
    with statements() as counted:
        before = cpu()
        beat.sync()
        found["sync"] = cpu() - before
    beat.close()
    return found | {"sync_statements": counted.total() / count}


def _beside_bare(beat: Any, count: int, sent: Sent, moment: datetime) -> dict[str, float]:
    """Half of the bare messages before and half after: a processor that is shared does not stay as fast."""
    before = _bare(beat, count // 2)
    _put_clock(beat, moment)
    found = _sends(beat, count, sent, time.time())
    bare = (before + _bare(beat, count // 2)) / 2
    return found | {"bare": bare, "ratio": found["dispatch"] / bare}


def _in_time(beat: Any, count: int, sent: Sent, moment: datetime) -> dict[str, float]:
    if time.time() > moment.timestamp() - SLACK:
        raise RuntimeError("The machine is too busy: the scheduler was not ready in time.")
    time.sleep(moment.timestamp() - time.time())
    return _sends(beat, count, sent, moment.timestamp())


def _sends(beat: Any, count: int, sent: Sent, due: float) -> dict[str, float]:
    sent.count, before = 0, cpu()
    while sent.count < count:
        time.sleep(min(beat.tick(), SLACK))
    while beat.tick() == 0:  # the notes about what was sent
        pass
    return {"dispatch": (cpu() - before) / count, "late": sent.last - due}


def _put_clock(beat: Any, moment: datetime) -> None:
    """Let our scheduler go by a clock that is at ``moment`` now and ahead by as much from now on."""
    now, ahead = beat.clock.now, moment - beat.clock.now()
    beat.clock.now = lambda: now() + ahead


def asleep(seconds: str) -> dict[str, float]:
    """A loop as ``celery beat`` has it, with nothing due; what its other threads do counts as well."""
    counted = count_statements()
    beat = scheduler_of("ours")()
    began = time.monotonic()
    while time.monotonic() < began + SETTLED:
        time.sleep(beat.tick())
    counted.clear()
    end, before = time.monotonic() + float(seconds), cpu()
    while time.monotonic() < end:
        time.sleep(min(beat.tick(), max(0.0, end - time.monotonic())))
    used, found = cpu() - before, Counter(counted)
    beat.close()
    reads = found.pop("SELECT", 0)
    return {
        "core": used / float(seconds) / 10,
        "reads": reads / float(seconds),
        "writes": found.total() / float(seconds),
    }


def _make_due(count: int) -> datetime:
    """Replace all tasks by ``count`` that are due at the start of a minute, which is returned."""
    from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks

    PeriodicTask.objects.all().delete()
    _forget_states()
    due = (datetime.now(UTC) + timedelta(seconds=60 + HEAD_START)).replace(second=0, microsecond=0)
    last = due - timedelta(seconds=1)
    rows = [
        CrontabSchedule.objects.create(minute=f"{due.minute},{(due.minute - n) % 60}", hour=due.hour)
        for n in range(60)
    ]
    PeriodicTask.objects.bulk_create(
        (
            PeriodicTask(
                name=f"task {n}", task="bench.noop", crontab=rows[n % 60], last_run_at=last, queue="unread"
            )
            for n in range(count)
        ),
        batch_size=1000,
    )
    PeriodicTask.objects.update(date_changed=last)
    PeriodicTasks.update_changed()
    return due


def _forget_states() -> None:
    if not apps.is_installed("scheduled_tasks"):
        return
    from scheduled_tasks.models import TaskRun, TaskState

    for model in (TaskState, TaskRun):
        model.objects.all()._raw_delete("default")


def _bare(beat: Any, count: int) -> float:
    before = cpu()
    for _ in range(count):
        beat.app.send_task("bench.noop", queue="unread", producer=beat.producer)
    return (cpu() - before) / count


def _resident() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 1000


def main(command: str, *arguments: str) -> None:
    django.setup()
    commands: dict[str, Any] = {"fill": fill, "idle": idle, "dispatch": dispatch, "asleep": asleep}
    found = commands[command](*arguments)
    if found:
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
