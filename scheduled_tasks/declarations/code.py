"""What this process's code declares: ``@scheduled_task`` and the entries of ``CELERY_BEAT_SCHEDULE``."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from celery import Celery

from ..models import Source
from ..private import project_app
from . import registry
from .beat_schedule import entries, zone_name
from .fields import Declared

NAMELESS = "It must be a function with a name, neither a lambda nor a functools.partial."


class CodeUnreadable(Exception):
    """This process cannot tell what the code declares; the text is one sentence that says why."""


@dataclass(frozen=True)
class Declarations:
    """Everything declared. `names` includes those whose entry is unusable, which `problems` explains."""

    tasks: tuple[Declared, ...]
    names: frozenset[str]
    problems: tuple[str, ...]


def read(app: Celery | None = None) -> Declarations:
    """Import the task modules of the project's Celery app (default: the current one) and read what they say.

    Raises:
        CodeUnreadable: when there is no such app, or a module cannot be imported or registers no task.
    """
    app = app or project_app()  # Celery's own "current app" would be an empty one where there is none
    if app is None:
        raise CodeUnreadable(
            "This process has no Celery app of the project. Import it in the project's __init__.py."
        )
    try:
        with _no_system_checks():
            app.loader.import_default_modules()
            _finalize(app)
        found, problems = entries(app)
    except CodeUnreadable:
        raise
    except (Exception, SystemExit) as error:  # a task module may fail in any way
        raise CodeUnreadable(
            f"A task module could not be imported {_reason(error)}. Nothing was changed."
        ) from error
    finally:
        enable_loggers()
    zone = zone_name(app.timezone)
    for name, definition in registry.definitions.items():
        if name in found:
            problems[name] = (
                f"“{name}” is in CELERY_BEAT_SCHEDULE too; its @scheduled_task counts. Remove one of them."
            )
        values = {**definition.values, "timezone": definition.values["timezone"] or zone}
        try:
            task_name = definition.task_name
        except Exception as error:  # noqa: BLE001 - Celery makes the task now, of whatever it was given
            problems[name] = f"Celery could not make a task of “{name}” {_reason(error)}. {NAMELESS}"
            continue
        found[name] = Declared(name, task_name, Source.DECORATOR, values, definition.formerly)
    tasks = tuple(found[name] for name in sorted(found))
    return Declarations(tasks, frozenset([*found, *problems]), tuple(problems.values()))


def _finalize(app: Celery) -> None:
    """Have Celery make the tasks that the modules registered. Its signals may add periodic tasks."""
    try:
        app.finalize(auto=True)
    except Exception as error:
        raise CodeUnreadable(
            f"Celery could not make a task of what a module registers {_reason(error)}. {NAMELESS} "
            "Nothing was changed."
        ) from error


def _reason(error: BaseException) -> str:
    """The error in brackets, and the place in the module that was being imported."""
    modules = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    place = f' at "{modules[-1].filename}", line {modules[-1].lineno}' if modules else ""
    return f"({type(error).__name__}: {error}){place}"


@contextmanager
def _no_system_checks() -> Iterator[None]:
    """Keep Celery from running the project's system checks when it imports task modules.

    A check that fails, in whatever app, would keep every task from being synced.
    """
    name = "CELERY_SKIP_CHECKS"
    before = os.environ.get(name)
    os.environ[name] = before or "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def enable_loggers(**_: object) -> None:
    """Enable this app's loggers: Celery calls ``django.setup()`` again when it imports task modules, and a
    project's ``LOGGING`` with ``disable_existing_loggers`` then disables them.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "scheduled_tasks" and isinstance(logger, logging.Logger):
            logger.disabled = False
