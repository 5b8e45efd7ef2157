"""What a sync has to do: declared now, declared at the last sync and stored, compared field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from .declared import Code, Declared
from .models import CodeDefault, PausedBy, ScheduledTask, Source
from .task_fields import BLANK, values_of

Kind = Literal["created", "updated", "resumed", "gone", "deleted", "unchanged"]

UNCOUNTED = "enabled"
"""Synced like every field, but an operator's pause is no edit of the task: its switch shows it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One task's part of a sync. `changes` are the field values to write, `kept` the operator's edits."""

    name: str
    kind: Kind
    declared: Declared | None = None
    task: ScheduledTask | None = None
    known: CodeDefault | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    kept: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    detail: str = ""


def plan(
    code: Code,
    *,
    known: Iterable[CodeDefault],
    tasks: Iterable[ScheduledTask],
    pause_gone: bool,
    recreate: bool,
) -> list[Step]:
    """One step for every task that is declared, or was at the last sync and is gone since.

    `tasks` are those of `known` and those that have a declared name.
    """
    defaults = {row.name: row for row in known}
    by_id = {task.pk: task for task in tasks}
    unclaimed = {task.name: task for task in by_id.values() if task.code_default is None}
    steps = [
        _step(declared, defaults.get(declared.name), by_id, unclaimed, recreate=recreate)
        for declared in code.tasks
    ]
    if pause_gone:
        steps += _gone(code, defaults.values(), by_id)
    return steps


def forgotten(code: Code, known: Iterable[CodeDefault]) -> list[str]:
    """Names a process that declares nothing at all seems to have lost. They are not taken for gone."""
    if code.has(Source.DECORATOR):
        return []
    lost = [row.name for row in known if row.source == Source.DECORATOR and row.gone_since is None]
    return [name for name in lost if name not in code.names]


def _step(
    declared: Declared,
    known: CodeDefault | None,
    by_id: dict[int, ScheduledTask],
    unclaimed: dict[str, ScheduledTask],
    *,
    recreate: bool,
) -> Step:
    task = None if known is None else by_id.get(known.task_id)
    if known is not None and task is not None:
        return _merged(declared, known, task)
    if declared.name in unclaimed:
        return _adopted(declared, known, unclaimed[declared.name])
    if known is not None and not recreate:
        return Step(name=declared.name, kind="deleted", declared=declared, known=known)
    detail = f"{declared.values['schedule']} {declared.values['timezone'] or ''}".strip()
    return Step(
        name=declared.name,
        kind="created",
        declared=declared,
        known=known,
        changes=declared.values,
        detail=detail,
    )


def _adopted(declared: Declared, known: CodeDefault | None, task: ScheduledTask) -> Step:
    """A task made elsewhere that has the declared name: what differs counts as an operator's choice."""
    stored = values_of(task)
    differing = tuple(name for name, value in declared.values.items() if stored[name] != value)
    return Step(
        name=declared.name,
        kind="updated",
        declared=declared,
        task=task,
        known=known,
        kept=_counted(differing),
        detail="now known to be declared in code",
    )


def _merged(declared: Declared, known: CodeDefault, task: ScheduledTask) -> Step:
    stored = values_of(task)
    theirs = {name for name in declared.values if _is_operators(name, stored, known, task)}
    differing = [name for name, value in declared.values.items() if stored[name] != value]
    chosen = tuple(name for name in declared.values if name in theirs and name not in differing)
    changes = {name: declared.values[name] for name in differing if name not in theirs}
    kept = tuple(name for name in differing if name in theirs)
    details = [f"{name} {stored[name]!r} → {value!r}" for name, value in changes.items()]
    if task.task != declared.task:
        details.append(f"task {task.task!r} → {declared.task!r}")
    before = (known.declared, set(known.chosen), known.source)
    return Step(
        name=declared.name,
        kind=_kind(
            known, task, changed=bool(details) or before != (declared.values, {*chosen}, declared.source)
        ),
        declared=declared,
        task=task,
        known=known,
        changes=changes,
        kept=_counted(kept),
        chosen=chosen,
        detail=", ".join(details),
    )


def _is_operators(name: str, stored: dict[str, Any], known: CodeDefault, task: ScheduledTask) -> bool:
    """Whether the stored value is a person's: it differs from what code declared last, or it did until code
    followed. Without the second, old and new code taking turns would undo a choice that equals one of them.
    """
    if name == "enabled" and not task.enabled and task.state.paused_by == PausedBy.OPERATOR:
        return True
    return name in known.chosen or stored[name] != known.declared.get(name, BLANK[name])


def _kind(known: CodeDefault, task: ScheduledTask, *, changed: bool) -> Kind:
    if known.gone_since is not None:
        return "resumed" if task.state.paused_by == PausedBy.SYNC else "updated"
    return "updated" if changed else "unchanged"


def _gone(code: Code, known: Iterable[CodeDefault], by_id: dict[int, ScheduledTask]) -> Iterator[Step]:
    lost = set(forgotten(code, known))
    for row in known:
        if row.gone_since is None and row.name not in code.names and row.name not in lost:
            task = by_id.get(row.task_id)
            detail = "paused" if task is not None and task.enabled else ""
            yield Step(name=row.name, kind="gone", known=row, task=task, detail=detail)


def _counted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name != UNCOUNTED)
