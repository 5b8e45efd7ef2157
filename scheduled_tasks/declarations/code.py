"""What this process's code declares: ``@scheduled_task`` and the entries of ``CELERY_BEAT_SCHEDULE``."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from celery import Celery

from ..models import Source
from ..private import project_app
from . import registry
from .beat_schedule import entries, zone_name
from .fields import Declared


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
        CodeUnreadable: when there is no such app, or a module cannot be imported.
    """
    app = app or project_app()  # Celery's own "current app" would be an empty one where there is none
    if app is None:
        raise CodeUnreadable(
            "This process has no Celery app of the project. Import it in the project's __init__.py."
        )
    try:
        with _no_system_checks():
            app.loader.import_default_modules()
            app.finalize(auto=True)  # periodic tasks may be added by its signals
        found, problems = entries(app)
    except Exception as error:  # a task module may fail in any way
        raise CodeUnreadable(
            f"A task module could not be imported ({type(error).__name__}: {error}). Nothing was synced."
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
        found[name] = Declared(name, definition.task_name, Source.DECORATOR, values)
    tasks = tuple(found[name] for name in sorted(found))
    return Declarations(tasks, frozenset([*found, *problems]), tuple(problems.values()))


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
