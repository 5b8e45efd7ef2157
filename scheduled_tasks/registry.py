"""``@scheduled_task``: what code declares, kept until a sync reads it. Makes no Celery app."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from celery import Task, shared_task
from celery.local import Proxy

from . import declarable, task_options
from .cron import CronExpression

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

OVERLAPS = ("skip", "allow", "queue_one")
MISFIRES = ("run_once", "ignore")
NEVER_RUN = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


class DeclaredTask(Protocol, Generic[P, R_co]):
    """A shared Celery task as type checkers see it; Celery's other attributes are there too."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function here and now."""

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Send it to a worker; returns Celery's ``AsyncResult``."""

    def __getattr__(self, name: str) -> Any: ...


class WrongDeclaration(ValueError):
    """A ``@scheduled_task`` that cannot be kept: file, line, name and reason in one sentence."""


@dataclass(frozen=True)
class Origin:
    """Where a declaration stands: the line of the decorator, and the function it decorates."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f'"{self.file}", line {self.line}'


@dataclass(frozen=True, kw_only=True)
class TaskDefinition:
    """One recurring job as code declares it. None means: as the project's settings say."""

    name: str
    schedule: CronExpression
    origin: Origin = field(compare=False)
    task: Any = field(compare=False, repr=False)
    """The Celery task or a proxy of it; looking into a proxy makes the Celery app."""
    description: str = ""
    timezone: str | None = None
    enabled: bool = True
    overlap: str | None = None
    misfire: str | None = None
    grace: timedelta | None = None
    retention: timedelta | None = None
    retention_count: int | None = None
    args: str = "[]"
    """Positional arguments as JSON text."""
    kwargs: str = "{}"
    """Keyword arguments as JSON text."""
    queue: str | None = None
    priority: int | None = None
    expires: int | None = None
    """Seconds after which a run that no worker took is dropped."""

    @property
    def task_name(self) -> str:
        """Celery's name of the task. Ask for it when the project's Celery app is there: this completes it."""
        return str(self.task.name)


class Registry:
    """The declarations of this process, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, TaskDefinition] = {}

    def add(self, definition: TaskDefinition) -> None:
        """Keep `definition`, in place of an earlier one that a reload has made obsolete.

        Raises:
            WrongDeclaration: when another declaration has the name.
        """
        earlier = self._by_name.get(definition.name)
        if earlier is not None and not _is_again(earlier, definition):
            raise _wrong(definition.origin, definition.name, f"{earlier.origin} declares this name already.")
        self._by_name[definition.name] = definition

    def definitions(self) -> tuple[TaskDefinition, ...]:
        """All declarations, by name."""
        return tuple(self._by_name[name] for name in sorted(self._by_name))


registry = Registry()
"""The one registry that ``@scheduled_task`` fills and the sync reads."""


def scheduled_task(
    schedule: str,
    *,
    name: str | None = None,
    task_name: str | None = None,
    description: str = "",
    timezone: str | None = None,
    enabled: bool = True,
    overlap: str | None = None,
    misfire: str | None = None,
    grace: timedelta | None = None,
    retention: timedelta | None = None,
    retention_count: int | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
    priority: int | None = None,
    expires: timedelta | float | None = None,
    capture_logs: bool = True,
    **celery_options: Any,
) -> Callable[[Callable[P, R]], DeclaredTask[P, R]]:
    """Declare a function, or an existing Celery task, as a recurring job.

    `schedule` is a cron expression of five fields or a macro (``"@daily"``), read in `timezone` (default:
    Celery's). `name` is the job's name (default: the function's, with dashes), `task_name` Celery's. `args`
    and `kwargs` are sent with each run and must be JSON. `overlap` is ``"skip"``, ``"allow"`` or
    ``"queue_one"``; `misfire` is ``"run_once"`` or ``"ignore"``. `expires` is in seconds. `capture_logs`
    says whether a run keeps the lines it logs. Every other keyword argument must be an option of a Celery
    task (:func:`~scheduled_tasks.task_options.check_known`) and goes to Celery's ``shared_task``.

    It may be put on one function several times, each time with another name.

    Raises:
        WrongDeclaration: at import, naming file, line, name and reason.
    """
    caller = sys._getframe(1)
    place = (os.path.realpath(caller.f_code.co_filename), caller.f_lineno)
    if callable(schedule):  # @scheduled_task without parentheses: the function would never become a task
        origin = Origin(*place, function=_function_name(schedule))
        raise _wrong(origin, _job_name(origin), 'it has no schedule; write @scheduled_task("0 3 * * *").')

    def declare(function: Callable[P, R]) -> DeclaredTask[P, R]:
        origin = Origin(*place, function=_function_name(function))
        job = _job_name(origin) if name is None else name
        try:
            definition = TaskDefinition(
                name=declarable.text("name", job, required=True),
                schedule=CronExpression.parse(schedule),
                origin=origin,
                description=declarable.text("description", description, longest=None),
                timezone=None if timezone is None else declarable.zone(timezone),
                enabled=declarable.flag("enabled", enabled),
                overlap=declarable.choice("overlap", overlap, OVERLAPS),
                misfire=declarable.choice("misfire", misfire, MISFIRES),
                grace=declarable.duration("grace", grace),
                retention=declarable.duration("retention", retention),
                retention_count=declarable.whole("retention_count", retention_count, 1, declarable.GREATEST),
                args=declarable.args(args),
                kwargs=declarable.kwargs({} if kwargs is None else kwargs),
                queue=None if queue is None else declarable.text("queue", queue, required=True),
                priority=declarable.whole("priority", priority, 0, 255),
                expires=declarable.seconds("expires", expires),
                task=_celery_task(function, task_name, _options(capture_logs, celery_options)),
            )
        except (ValueError, TypeError) as error:
            raise _wrong(origin, job, str(error)) from error
        registry.add(definition)
        return definition.task  # type: ignore[no-any-return]

    return declare


def _job_name(origin: Origin) -> str:
    return origin.function.rpartition(".")[2].replace("_", "-")


def _wrong(origin: Origin, name: object, reason: str) -> WrongDeclaration:
    return WrongDeclaration(f'File {origin}: scheduled task "{name}": {reason}')


def _is_again(earlier: TaskDefinition, later: TaskDefinition) -> bool:
    """Whether `later` is `earlier` executed again: its module was reloaded, or runs as ``__main__`` too."""
    if earlier.task is later.task:
        return earlier == later and earlier.origin == later.origin
    same_place = (earlier.origin.file, earlier.origin.function) == (later.origin.file, later.origin.function)
    return same_place and "<locals>" not in later.origin.function


def _is_celery_task(function: object) -> bool:
    # By type: isinstance() would look through a proxy, and make the Celery app.
    return issubclass(type(function), Proxy | Task)


def _options(capture_logs: object, celery_options: dict[str, Any]) -> dict[str, Any]:
    """Options of the Celery task: what a worker must know travels with the code, as its attribute."""
    task_options.check_known(celery_options, own=inspect.getfullargspec(scheduled_task).kwonlyargs)
    if declarable.flag("capture_logs", capture_logs):
        return celery_options
    return {**celery_options, "capture_logs": False}


def _celery_task(function: Callable[..., Any], task_name: str | None, options: dict[str, Any]) -> Any:
    if task_name is not None:
        options = {**options, "name": declarable.text("task_name", task_name, required=True)}
    if not _is_celery_task(function):
        if not callable(function):
            raise TypeError(f"it must decorate a function, not {function!r}.")
        if any(each(function) for each in NEVER_RUN):
            raise TypeError(
                "it is async or a generator, whose body Celery never runs; give a plain function."
            )
        return shared_task(**options)(function)
    if options:
        given = ", ".join(sorted("task_name" if key == "name" else key for key in options))
        raise ValueError(f"{given}: this is a Celery task already; give it these options where it is made.")
    return function


def _function_name(function: object) -> str:
    """Its qualified name, also of a task declared before; none of another task, whose proxy stays shut."""
    if not _is_celery_task(function):
        return str(getattr(function, "__qualname__", type(function).__qualname__))
    return next((each.origin.function for each in registry.definitions() if each.task is function), "")
