"""Runs whose task has replaced itself (``self.replace()``): while the replacement goes on, the run does.

The last task of the replacement has the id of the run and is an attempt of it, told by :mod:`.receivers`.
The tasks before it, in a chain or in the header of a chord, have ids of their own. They lend the run their
process while they run, so that it is missed with them, and end it when they do not succeed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ..models import OPEN, Status
from ..private import replacements_before
from ..recording import endings, replaced, statements
from ..recording.recorder import record

MEMBER = "scheduled_tasks_member_of"
"""Attribute of a task's request: the Celery id of the run whose replacement it belongs to."""


def run_of(request: Any) -> str:
    """The Celery id of the run that a task's ``request`` leads to; empty for one that leads to none.

    All tasks of a replacement have the run as their root, as have those that a run sends and forgets. Only in
    a replacement, some task that follows has the run's own id.
    """
    root = getattr(request, "root_id", None)
    if not root or root == request.id:
        return ""
    following = [*(getattr(request, "chain", None) or ()), getattr(request, "chord", None)]
    return str(root) if any(_leads_to(signature, root) for signature in following) else ""


def continues(request: Any) -> bool:
    """Whether a message without a header is the last task of a replacement: a root that has a parent."""
    parent = getattr(request, "parent_id", None)
    return bool(replacements_before(request)) or bool(
        parent and getattr(request, "root_id", None) == request.id
    )


def goes_on(celery_id: str, headers: Mapping[str, Any], body: Any) -> bool:
    """Whether a message that replaces the task of a run, or one that follows it, has the run's id.

    None has where a group comes last: of a chord, and with Celery 5.6 of a chain.
    """
    if headers.get("id") == celery_id:
        return True
    _, _, embed = body
    following = [*(embed.get("chain") or ()), embed.get("chord")]
    return any(_leads_to(signature, celery_id) for signature in following)


def start(request: Any, *, process_id: str) -> bool:
    """A task starts; the answer is whether it belongs to a replacement and is not the last one."""
    run = run_of(request)
    if run:
        setattr(request, MEMBER, run)
        worker = str(request.hostname or "")[:255]
        params = {"celery_id": run, "worker": worker, "process_id": process_id, "pid": os.getpid()}
        record(partial(replaced.join, params=params), wait=False)
    return bool(run)


def end(request: Any, state: str | None, retval: Any, *, process_id: str) -> None:
    """A task has ended that may belong to a replacement."""
    run = vars(request).get(MEMBER)
    if not run:
        return
    ending = endings.of_attempt(state, retval, request)
    if ending.status in {*OPEN, Status.SUCCEEDED}:
        record(partial(replaced.leave, celery_id=run, process_id=process_id), wait=False)
    elif ending.status != Status.LOST:  # of what was interrupted the worker's main process tells
        _fail(run, ending)


def end_of_child(request: Any, ending: statements.Ending) -> None:
    """A task has ended whose process could not say it."""
    run = "" if MEMBER in vars(request) else run_of(request)
    if run and ending.status not in OPEN:
        _fail(run, ending)


def _fail(run: str, ending: statements.Ending) -> None:
    record(partial(replaced.end, celery_id=run, ending=ending), wait=False, size=ending.size)


def _leads_to(signature: Mapping[str, Any] | None, celery_id: str) -> bool:
    if not signature:
        return False
    options = signature.get("options") or {}
    is_group = signature.get("subtask_type") == "group"  # then the id is no task's
    if options.get("task_id") == celery_id and not is_group:
        return True
    return any(_leads_to(each, celery_id) for each in _following(signature, options))


def _following(signature: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[Any]:
    yield options.get("chord")
    kwargs = signature.get("kwargs") or {}
    yield kwargs.get("body")
    if signature.get("subtask_type") in ("chain", "group"):
        yield from kwargs.get("tasks") or ()
