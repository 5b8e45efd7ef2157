"""For a project's own tests: what is declared, when it runs next, what a run does and what beat decides.

Import it in test modules: it needs Django's apps. The fixtures are in :mod:`scheduled_tasks.pytest_plugin`.
"""

from __future__ import annotations

from .declared import assert_declared_tasks, assert_next_runs, declared_tasks
from .eager_runs import run_scheduled
from .stepped_beat import tick

__all__ = [
    "ScheduledTasksMixin",
    "assert_declared_tasks",
    "assert_next_runs",
    "declared_tasks",
    "run_scheduled",
    "tick",
]


class ScheduledTasksMixin:
    """The functions of this module as methods of a ``django.test.TestCase``."""

    declared_tasks = staticmethod(declared_tasks)
    assertDeclaredTasks = staticmethod(assert_declared_tasks)
    assertNextRuns = staticmethod(assert_next_runs)
    run_scheduled = staticmethod(run_scheduled)
    tick = staticmethod(tick)
