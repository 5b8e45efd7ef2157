"""How long a message of a task may wait and a run may take, as the code of the task says."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from celery import Celery

from ..masking import printable
from ..recording.header import moment

LIMITS = ("soft_time_limit", "time_limit")

LONGEST = 2**53
"""Seconds that JSON keeps exactly; none of a limit that means something."""

LONGEST_TEXT = 100
"""Characters that are kept of a limit which is no number."""

logger = logging.getLogger(__name__)


def task_options(app: Celery) -> dict[str, dict[str, Any]]:
    """``expires`` and time limits by a registered task's name, as JSON values; without those that set none.
    ``schedulable`` is there, and False, where the task is not to be offered to people who add tasks.

    In seconds, and ``expires`` also as a time. What Celery cannot use for a limit is there as text, what it
    cannot use for ``expires`` is left out.
    """
    found = {name: _options_of(name, task) for name, task in [*app.tasks.items()]}
    return {name: options for name, options in found.items() if options}


def _options_of(name: str, task: Any) -> dict[str, Any]:
    try:
        found = {limit: _as_json(value) for limit in LIMITS if (value := getattr(task, limit, None))}
        expires = getattr(task, "expires", None)
        if isinstance(expires, datetime) and (at := moment(expires)):  # without a zone it is UTC to Celery
            found["expires"] = at.isoformat()
        elif expires and _is_number(expires):
            found["expires"] = expires
        if getattr(task, "schedulable", True) is False:
            found["schedulable"] = False
    except Exception:  # a task's class may be anything
        logger.exception("The options of %s cannot be told.", name)
        return {}
    return found


def _as_json(value: object) -> Any:
    return value if _is_number(value) else printable(str(value))[:LONGEST_TEXT]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < LONGEST
