"""Writing what an importer found: a row for a Celery task, code to paste for anything else.

No task of this app runs a function or a management command by name: whoever may edit a task's arguments in
the admin could then run any of them. The code that is printed names what it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from celery import Task
from django.core.exceptions import ValidationError
from django.db import DataError, Error, IntegrityError, transaction
from django.db.models import F
from django.utils.module_loading import import_string

from .. import validation
from ..cron import CronExpression, InvalidCron
from ..declarations import code
from ..declarations.fields import Declared, change, unstored
from ..models import SYNC_LEASE, Lease, ScheduledTask, Source, database, database_now
from ..private import Proxy, project_app
from ..reading.machinery import Machinery
from ..schedules import InvalidInterval, Unschedulable, next_runs, parse_interval
from ..validation import Invalid
from .found import Found, Importer, Outcome, Result
from .pasted_code import pasted_code

READABLE = (Invalid, InvalidCron, InvalidInterval, Unschedulable)
"""Errors whose text is a sentence for people."""


def import_schedules(importer: Importer, *, place: str, zone: str, dry_run: bool) -> list[Outcome]:
    """Make scheduled tasks of what ``importer`` finds at ``place``, all in one transaction.

    With ``dry_run`` the transaction is rolled back, so that the report says what the database would. ``zone``
    is the time zone of a scheduler that has none of its own.

    Raises:
        Invalid: when the source cannot be read; the text is one sentence.
        CodeUnreadable: when the project's task modules cannot be imported.
        django.db.DatabaseError: when the database is down or a table is not there.
    """
    validation.zone(zone)
    code.read()
    app = project_app()
    known = Machinery.read().known_tasks or frozenset()
    writer = _Writer(known_tasks=known.union(app.tasks if app else ()))
    outcomes: list[Outcome] = []
    with transaction.atomic(using=database()):
        # It waits for a sync. On SQLite only a transaction that begins with a write waits its turn.
        Lease.objects.using(database()).filter(name=SYNC_LEASE).update(epoch=F("epoch"))
        for origin, item in importer.items(place, zone):
            outcomes += writer.bring(origin, importer, item)
        transaction.set_rollback(dry_run, using=database())
    return outcomes


@dataclass
class _Writer:
    """Writes the schedules of one source, and remembers the names it gave."""

    known_tasks: frozenset[str]
    names: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    """Those of the code to paste."""

    def bring(self, origin: str, importer: Importer, item: Any) -> Iterator[Outcome]:
        """What becomes of each schedule of an item."""
        told = {"origin": origin}
        try:
            schedules = list(importer.find(item))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a class of others may do anything
            yield _left_out(told, error)
            return
        for found in schedules:
            told = {"origin": origin}
            try:
                with transaction.atomic(using=database()):
                    outcome = self._outcome(told, self._named(found))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the others go on
                outcome = _left_out(told, error)
            yield outcome

    def _outcome(self, told: dict[str, str], found: Found) -> Outcome:
        """Write one schedule, or tell why not or how to do it. What is known of it is put into ``told``."""
        told["name"] = found.name
        task = self._celery_task(found.path)
        values = _values(found)
        told |= {"runs": task, "schedule": values["schedule"], "timezone": values["timezone"] or ""}
        stored = ScheduledTask.objects.filter(name=found.name).first()
        if stored is not None and (task == stored.task or (not task and _is_declared(stored))):
            return Outcome(result=Result.THERE, **told)
        if stored is not None:
            raise Invalid(f"its name is in use by a task that runs {stored.task}.")
        if not task:
            text = pasted_code(found, values["schedule"], told["origin"], self.functions)
            return Outcome(result=Result.CODE, code=text, why=found.note, **told)
        change(ScheduledTask(name=found.name, task=task), values, database_now())
        return Outcome(result=Result.IMPORTED, why=found.note, **told)

    def _named(self, found: Found) -> Found:
        """Under a name that no other schedule of the source has: its second of one name ends in 2."""
        name, number = validation.text("its name", found.name, required=True), 1
        while name in self.names:
            number += 1
            name = f"{found.name} {number}"
        self.names.add(name)
        return replace(found, name=validation.text("its name", name))

    def _celery_task(self, path: str) -> str:
        """The name of the Celery task at ``path``; empty for another function or class.

        Raises:
            Invalid: when there is nothing of that name.
        """
        if path in self.known_tasks:
            return path
        try:
            named = import_string(path)
        except (Exception, SystemExit) as error:  # a module may do anything
            raise Invalid(f"{path} is no known Celery task and cannot be imported ({error}).") from error
        if not callable(named):
            raise Invalid(f"{path} is no function.")
        return str(named.name) if issubclass(type(named), Proxy | Task) else ""


def _is_declared(task: ScheduledTask) -> bool:
    """Whether code has ``@scheduled_task`` for it, such as code that was pasted."""
    default = task.code_default
    return default is not None and default.source == Source.DECORATOR and default.gone_since is None


def _left_out(told: dict[str, str], error: BaseException) -> Outcome:
    """The outcome of a schedule that failed so. Raises the error when the database itself fails."""
    if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
        raise error
    return Outcome(result=Result.LEFT_OUT, why=_sentence(error), **told)


def _sentence(error: BaseException) -> str:
    if isinstance(error, READABLE):
        return str(error)
    if isinstance(error, ValidationError):
        return "; ".join(error.messages)
    return f"it cannot be read ({type(error).__name__}: {error})."


def _values(found: Found) -> dict[str, Any]:
    """The fields of the task to store. Raises one of :data:`READABLE`."""
    validation.text("its schedule", found.schedule, longest=None)
    cron = None if parse_interval(found.schedule) else CronExpression.parse(found.schedule)
    if cron and found.either_day and "both_days" in cron.notices:
        raise Invalid(
            f"“{found.schedule}” means either of the two days in cron, and both in Celery; split it in two."
        )
    values = {
        **found.options,
        "schedule": cron.canonical if cron else found.schedule,
        "timezone": validation.zone(found.timezone) if cron else None,
        "enabled": found.enabled,
        "args": validation.args(found.args),
        "kwargs": validation.kwargs(found.kwargs),
    }
    task = unstored(Declared(found.name, found.path, Source.BEAT_SCHEDULE, values))
    second = next(islice(next_runs(task, database_now()), 1, None), None)
    if found.next_run and second and second <= found.next_run:
        raise Invalid(f"it begins on {found.next_run:%Y-%m-%d}, and would run before; import it later.")
    return values
