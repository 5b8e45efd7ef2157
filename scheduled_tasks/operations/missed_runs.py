"""Running later what did not run at its time: a run for each scheduled time that a missed row stands for."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from uuid import uuid4

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import ScheduledTask, Status, TaskRun, Trigger, UtcNow
from ..recording.connection import keepable
from ..schedules import Unschedulable
from ..spread import spread_offset
from ..ticks import ticks_between
from ..values import stored
from .audit import Event, started
from .locking import Actor, Refused, locked, run_of, task_of
from .publishing import BadMessage, message

MOST_RUNS = 100
"""Scheduled times of one row that are run later at once."""

NOTHING_TO_RUN = gettext_lazy("These scheduled times did run, or somebody has run them later already.")

NOT_RUN = frozenset({Status.MISSED, Status.SKIPPED})


def can_run_later(run: TaskRun) -> bool:
    """Whether the row stands for scheduled times that no message was sent for, and nobody has run them later.

    Such a row has no Celery task id. Who ran them later is its actor.
    """
    return run.status in NOT_RUN and run.celery_id is None and run.task_id is not None and not run.actor


def missed_times(task: ScheduledTask, run: TaskRun) -> list[datetime]:
    """The scheduled times, ascending, that the row stands for: by the task's schedule as it is now.

    Raises :class:`Refused` where there are too many, or the schedule was changed and would give others.
    """
    first, last = run.scheduled_for, run.scheduled_until
    if run.tick_count > MOST_RUNS:
        text = _("%(n)s scheduled times are too many: at most %(most)s can be run later at once.")
        raise Refused("invalid", text % {"n": run.tick_count, "most": MOST_RUNS}, run=run)
    times = [] if first is None else [first]
    if first and last and run.tick_count > 1:
        times += _times_after(task, first, last)
    if len(times) != run.tick_count or (last and times[-1] != last):
        text = _("The schedule of %(name)s was changed since: the scheduled times are not known any more.")
        raise Refused("invalid", text % {"name": task.name}, run=run)
    return times


def _times_after(task: ScheduledTask, first: datetime, last: datetime) -> list[datetime]:
    offset = spread_offset(task)
    try:
        ticks = ticks_between(task, first + offset, last + offset)
        times = (time - offset for block in ticks for time in block)
        return list(islice(times, MOST_RUNS))
    except Unschedulable:
        return []


def run_later(run_id: int, *, actor: Actor) -> list[TaskRun]:
    """Have every scheduled time of a missed or skipped row run, and return these runs, which wait.

    Beat sends them one after the other, each with its own ``scheduled_for``. A row is run later once. Raises
    :class:`Refused` when the row is of another kind or has been run later, when its times are not known or
    too many, when the task is disabled, and when its arguments are not JSON.
    """
    run = run_of(run_id)
    name = keepable(actor.name) or "–"
    with locked(task_of(run.task_id or 0).pk) as task:
        run.refresh_from_db()
        if not can_run_later(run):
            raise Refused("ended", str(NOTHING_TO_RUN), run=run)
        if task.is_stopped:
            text = _("%(name)s is disabled. Enable it before you run what was missed.")
            raise Refused("invalid", text % {"name": task.name}, run=run)
        runs = [_waiting(task, run, time, name) for time in missed_times(task, run)]
        TaskRun.objects.bulk_create(runs)
        TaskRun.objects.filter(pk=run.pk).update(actor=name)
        actor.log(task, started(Event.RUN_LATER, runs[0].pk or run.pk, id=run.pk, n=len(runs)))
    return list(TaskRun.objects.filter(celery_id__in=[run.celery_id for run in runs]).order_by("pk"))


def _waiting(task: ScheduledTask, missed: TaskRun, time: datetime, name: str) -> TaskRun:
    try:
        sent = message(task)
    except BadMessage as error:
        raise Refused("arguments", str(error), run=missed) from error
    return TaskRun(
        celery_id=str(uuid4()),
        task_id=task.pk,
        name=task.name,
        status=Status.WAITING,
        trigger=Trigger.RETRY,
        actor=name,
        retry_of=missed,
        tick=f"{task.pk}@{time:%Y-%m-%dT%H:%M:%S.%fZ}+{missed.pk}"[:64],
        scheduled_for=time,
        spread=missed.spread,
        queued_at=UtcNow(),
        open_since=UtcNow(),
        queue=task.queue or "",
        args=keepable(stored(sent.args)),
        kwargs=keepable(stored(sent.kwargs)),
    )
