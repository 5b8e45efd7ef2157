"""What a command can know of the installation: code, database and processes as this process sees them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

from celery import Celery
from celery.app.utils import find_app
from django.db import Error as DatabaseFailure

from ..declarations.code import CodeUnreadable, Declarations, read
from ..declarations.sync import tables_exist
from ..models import Process, ProcessKind
from ..private import project_app
from ..reading.health import UNKNOWN_APP, celery_command
from ..reading.machinery import Machinery


@dataclass(frozen=True)
class Installation:
    """What all looks need: the project's app, what code declares, and what the database says.

    ``code`` is None when it cannot be read, as ``unreadable`` explains; ``machinery`` is None while the
    database is down (``database_error``) or its tables are not there.
    """

    app: Celery | None
    code: Declarations | None
    unreadable: str
    machinery: Machinery | None
    database_error: str = ""

    @classmethod
    def read(cls) -> Installation:
        """Everything as this process sees it now. Imports the project's task modules."""
        code, unreadable = None, ""
        try:
            code = read()
        except CodeUnreadable as error:
            unreadable = str(error)
        machinery, database_error = None, ""
        try:
            machinery = Machinery.read() if tables_exist() else None
        except DatabaseFailure as error:
            database_error = " ".join(str(error).split())
        return cls(project_app(), code, unreadable, machinery, database_error)

    @property
    def celery(self) -> str:
        """The ``celery`` command with the ``-A`` of living processes, else of this process's app."""
        return self.named(celery_command(self.machinery or Machinery(datetime.min.replace(tzinfo=UTC), ())))

    def named(self, command: str) -> str:
        """The command with the ``-A`` of this process's app where it has none yet."""
        return command.replace(UNKNOWN_APP, app_argument(self.app) or UNKNOWN_APP)

    def alive(self, kind: ProcessKind) -> list[Process]:
        """Living processes of a kind; none where the database cannot tell."""
        return self.machinery.alive(kind) if self.machinery else []


def app_argument(app: Celery | None) -> str:
    """What ``celery -A`` takes for this app: a module that leads to it, or nothing where none does.

    The project's package if that does, as in Celery's guide, else one that is named for Celery, else any.
    """
    project = os.environ.get("DJANGO_SETTINGS_MODULE", "").partition(".")[0]
    names = [
        name
        for name, module in [*sys.modules.items()]
        if name.partition(".")[0] not in ("celery", "scheduled_tasks", "__main__")
        and any(value is app for value in [*getattr(module, "__dict__", {}).values()])
    ]
    names.sort(key=lambda name: (name != project, "celery" not in name, len(name)))
    return next((name for name in names if app is not None and _leads_to(name, app)), "")


def _leads_to(name: str, app: Celery) -> bool:
    try:
        return find_app(name) is app
    except Exception:  # noqa: BLE001 - it imports a module that may fail
        return False
