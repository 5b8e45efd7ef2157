"""``@scheduled_task``: checks what a function declares and registers it. Makes no Celery app."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from types import FrameType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from celery import Task, shared_task

from .. import validation
from ..private import Proxy
from . import registry
from .registry import Origin, WrongDeclaration, wrong

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

NEVER_RUN = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)

UNDECLARED = frozenset(
    {
        *("base", "bind", "name", "store_eager_result"),
        *("pydantic", "pydantic_strict", "pydantic_context", "pydantic_dump_kwargs"),
        *("autoretry_for", "dont_autoretry_for"),
        *("retry_kwargs", "retry_backoff", "retry_backoff_max", "retry_jitter"),
        *("queue", "routing_key", "exchange", "delivery_mode", "compression", "immediate", "mandatory"),
    }
)
"""Options that Celery reads without its ``Task`` class having an attribute of that name."""


class DeclaredTask(Protocol, Generic[P, R_co]):
    """A shared Celery task as type checkers see it; Celery's other attributes are there too."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function here and now."""

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Send it to a worker; returns Celery's ``AsyncResult``."""

    def __getattr__(self, name: str) -> Any: ...


def scheduled_task(
    schedule: str,
    *,
    name: str | None = None,
    task_name: str | None = None,
    formerly: Collection[str] = (),
    description: str = "",
    timezone: str | None = None,
    enabled: bool = True,
    overlap: str | None = None,
    misfire: str | None = None,
    grace: timedelta | None = None,
    spread: timedelta | None = None,
    retention: timedelta | None = None,
    retention_count: int | None = None,
    alert_after: int | None = None,
    recover_after: int | None = None,
    max_runtime: timedelta | None = None,
    alert_on: Collection[str] | None = None,
    owner: str | None = None,
    runbook: str | None = None,
    tags: Collection[str] = (),
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
    priority: int | None = None,
    expires: timedelta | float | None = None,
    capture_logs: bool = True,
    schedulable: bool = True,
    **celery_options: Any,
) -> Callable[[Callable[P, R]], DeclaredTask[P, R]]:
    """Declare a function, or an existing Celery task, as a recurring job.

    `schedule` is a cron expression of five fields or a macro (``"@daily"``), read in `timezone` (default:
    Celery's). `name` is the job's name (default: the function's, with dashes), `task_name` Celery's.
    `formerly` are names of either kind that it had before: the stored task and its runs stay its own. `args`
    and `kwargs` are sent with each run and must be JSON. `overlap` is ``"skip"``, ``"allow"`` or
    ``"queue_one"``; `misfire` is ``"run_once"`` or ``"ignore"``. With `spread` each run starts later than
    scheduled, by a time below it that is the same for each run and differs from task to task. `expires` is
    in seconds. `capture_logs` says whether a run keeps the lines it logs,
    `schedulable` whether the page offers the Celery task to people who add a task.

    Somebody is told after `alert_after` failures in a row, and that all is well after `recover_after`
    successes. A run that takes longer than `max_runtime` is slow. `alert_on` are the kinds of trouble to tell
    of: some of ``"failing"``, ``"late"``, ``"slow"``, or none. `owner` is who is told, a key of the setting
    ``ALERTS`` (at most 100 characters). `runbook` is an http or https address (at most 500 characters), shown
    with every error. What is None is left to the project's settings. `tags` are words to find the task by.

    Every other keyword argument must be an option of a Celery task (:func:`check_known`) and goes to Celery's
    ``shared_task``.

    It may be put on one function several times, each time with another name.

    Raises:
        WrongDeclaration: at import, naming file, line, name and reason.
    """
    given = dict(locals())  # by the names of the fields
    place = _place(sys._getframe(1))
    if callable(schedule):  # @scheduled_task without parentheses: the function would never become a task
        raise _without_schedule(Origin(*place, function=_function_name(schedule)))

    def declare(function: Callable[P, R]) -> DeclaredTask[P, R]:
        origin = Origin(*place, function=_function_name(function))
        try:
            validation.text("name", job := _job_name(origin) if name is None else name, required=True)
            values = validation.declared(given)
            former = validation.names("formerly", formerly)
            task = _celery_task(
                function,
                task_name,
                _options(celery_options, capture_logs=capture_logs, schedulable=schedulable),
            )
        except (ValueError, TypeError) as error:
            raise wrong(origin, job, str(error)) from error
        registry.add(registry.TaskDefinition(job, values, origin, task, former))
        return task  # type: ignore[no-any-return]

    return declare


def _place(frame: FrameType) -> tuple[str, int]:
    return os.path.realpath(frame.f_code.co_filename), frame.f_lineno


def _without_schedule(origin: Origin) -> WrongDeclaration:
    return wrong(origin, _job_name(origin), 'it has no schedule; write @scheduled_task("0 3 * * *").')


def _job_name(origin: Origin) -> str:
    return origin.function.rpartition(".")[2].replace("_", "-")


def _is_celery_task(function: object) -> bool:
    # By type: isinstance() would look through a proxy, and make the Celery app.
    return issubclass(type(function), Proxy | Task)


def _options(celery_options: dict[str, Any], **flags: object) -> dict[str, Any]:
    """Options of the Celery task: what a worker must know travels with the code, as its attribute."""
    check_known(celery_options, own=inspect.getfullargspec(scheduled_task).kwonlyargs)
    off = {name: False for name, value in flags.items() if not validation.flag(name, value)}
    return {**celery_options, **off}


def _celery_task(function: Callable[..., Any], task_name: str | None, options: dict[str, Any]) -> Any:
    if task_name is not None:
        options = {**options, "name": validation.text("task_name", task_name, required=True)}
    if not _is_celery_task(function):
        if not callable(function):
            raise TypeError(f"it must decorate a function, not {function!r}.")
        if not str(getattr(function, "__name__", "")).isidentifier():
            raise TypeError(
                "Celery makes tasks of functions with a name, not of a lambda or functools.partial."
            )
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
    return next((each.origin.function for each in registry.definitions.values() if each.task is function), "")


def check_known(options: Mapping[str, Any], own: Iterable[str]) -> None:
    """Check that Celery knows each of `options`; `own` are the other words that may have been meant.

    Celery makes any option an attribute of the task. It knows those of :data:`UNDECLARED` and the public
    attributes of the task's class: Celery's ``Task`` or the class given as ``base``. A method such as
    ``on_failure`` can be replaced by something callable only.

    Raises:
        TypeError: naming the first option it does not know, and the one that was probably meant.
    """
    base = options.get("base") or Task
    attributes = {name: inspect.getattr_static(base, name, None) for name in dir(base) if name[0] != "_"}
    methods = {name for name, value in attributes.items() if inspect.isroutine(value)}
    known = UNDECLARED | (attributes.keys() - methods)
    for name, value in options.items():
        if name in known or (name in methods and callable(value)):
            continue
        meant = get_close_matches(name, known.union(own), n=1)
        raise TypeError(
            f'it has no option "{name}"; did you mean "{meant[0]}"?'
            if meant
            else f'it has no option "{name}", nor has a Celery task.'
        )
