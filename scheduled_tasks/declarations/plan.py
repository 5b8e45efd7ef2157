"""What a sync has to do: declared now, declared at the last sync and stored, compared field by field."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from ..masking import NestedTooDeeply, masked
from ..models import CodeDefault, PausedBy, ScheduledTask, Source
from .code import Declarations
from .fields import FIELDS, Declared, values_of

Kind = Literal["created", "updated", "resumed", "gone", "deleted", "unchanged", "misplaced", "forgotten"]

Named = TypeVar("Named", CodeDefault, ScheduledTask)

UNCOUNTED = "enabled"
"""Synced like every field, but an operator's pause is no edit of the task: its switch shows it."""


@dataclass(frozen=True)
class Step:
    """One task's part of a sync. `changes` are the field values to write, `kept` the operator's edits."""

    kind: Kind
    declared: Declared | None = None
    known: CodeDefault | None = None
    task: ScheduledTask | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    kept: Sequence[str] = ()
    chosen: Sequence[str] = ()
    detail: str = ""

    @property
    def name(self) -> str:
        """The task's name in code."""
        named = self.declared or self.known
        return "" if named is None else named.name


def plan(
    code: Declarations, *, known: Sequence[CodeDefault], tasks: Sequence[ScheduledTask], recreate: bool
) -> list[Step]:
    """One step for every task that is declared, or was at the last sync.

    `tasks` are those of `known` and those that have a declared name. A default is misplaced when its task's
    row holds another job now. What a process that declares nothing at all does not know is forgotten, and is
    not taken for gone.
    """
    by_id = {task.pk: task for task in tasks}
    celery_names = {declared.name: declared.task for declared in code.tasks}
    misplaced = {row.pk for row in known if _is_misplaced(row, by_id.get(row.task_id), celery_names)}
    rows = [row for row in known if row.pk not in misplaced]
    claimed = {row.task_id for row in rows}
    defaults = _by_name(rows)
    unclaimed = _by_name([task for task in tasks if task.pk not in claimed])
    renamed = _renamed(code, rows)
    steps = [Step("misplaced", known=row) for row in known if row.pk in misplaced]
    for declared in code.tasks:
        row = _find(defaults, declared.name, taken=code.names) or renamed.get(declared.name)
        task = by_id.get(row.task_id) if row else None
        if row and task:
            steps.append(_merged(declared, row, task))
        elif task := _find(unclaimed, declared.name):
            steps.append(_adopted(declared, row, task))
        elif row and not recreate:
            steps.append(Step("deleted", declared, row))
        else:
            detail = f"{declared.values['schedule']} {declared.values['timezone'] or ''}".strip()
            steps.append(Step("created", declared, row, changes=declared.values, detail=detail))
    declared_rows = {step.known.pk for step in steps if step.known}
    return steps + [
        _no_longer_declared(code, row, by_id.get(row.task_id))
        for row in rows
        if row.pk not in declared_rows and row.gone_since is None and row.name not in code.names
    ]


def _is_misplaced(row: CodeDefault, task: ScheduledTask | None, celery_names: Mapping[str, str]) -> bool:
    """Whether the task's row holds another job now, put there under the same id, by a fixture say.

    A job may be renamed by an operator and moved to another Celery task by code; both at once is another job.
    """
    if task is None or folded(task.name) == folded(row.name):
        return False
    return task.task not in (row.declared.get("task"), celery_names.get(row.name))


def folded(name: str) -> str:
    """What MariaDB compares of a name: neither case, accents nor blanks at the end."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).rstrip()


def _by_name(rows: Iterable[Named]) -> dict[str, list[Named]]:
    found: dict[str, list[Named]] = defaultdict(list)
    for row in rows:
        found[folded(row.name)].append(row)
    return found


def _find(rows: Mapping[str, list[Named]], name: str, taken: Collection[str] = ()) -> Named | None:
    """The row of this name, else one of a name that MariaDB takes for it and that is not `taken`."""
    alike = rows.get(folded(name), [])
    others = [row for row in alike if row.name not in taken]
    return next((row for row in alike if row.name == name), others[0] if others else None)


def _renamed(code: Declarations, rows: Sequence[CodeDefault]) -> dict[str, CodeDefault]:
    """By a declared name, the row that the task has under a former one.

    Only a row that code declares no more, and which is the only one that one declared task alone can mean.
    """
    left = [row for row in rows if row.name not in code.names]
    found = {}
    for declared in code.tasks:
        by_name = [row for row in left if row.name in declared.formerly]
        former = by_name or [row for row in left if row.declared.get("task") in declared.formerly]
        if len(former) == 1:
            found[declared.name] = former[0]
    claims = Counter(row.pk for row in found.values())
    return {name: row for name, row in found.items() if claims[row.pk] == 1}


def _adopted(declared: Declared, known: CodeDefault | None, task: ScheduledTask) -> Step:
    """A task made elsewhere that has the declared name: what differs counts as an operator's choice."""
    kept = _counted(_differing(declared, values_of(task)))
    return Step("updated", declared, known, task, kept=kept, detail="now known to be declared in code")


def _merged(declared: Declared, known: CodeDefault, task: ScheduledTask) -> Step:
    stored = values_of(task)
    differing = _differing(declared, stored)
    theirs = [name for name in declared.values if _is_operators(name, stored, known, task)]
    chosen = [name for name in theirs if name not in differing]
    changes = {name: declared.values[name] for name in differing if name not in theirs}
    details = [f"{name} {_shown(stored[name])} → {_shown(value)}" for name, value in changes.items()]
    if known.name != declared.name:
        details.append(f"name {known.name!r} → {declared.name!r}")
    if task.task != declared.task:
        details.append(f"task {task.task!r} → {declared.task!r}")
    before = (known.name, known.declared, set(known.chosen), known.source)
    after = (declared.name, declared.stored, set(chosen), declared.source)
    kind = _kind(known, task, is_changed=bool(details) or before != after)
    kept = _counted(name for name in differing if name in theirs)
    return Step(kind, declared, known, task, changes, kept, chosen, ", ".join(details))


def _differing(declared: Declared, stored: Mapping[str, Any]) -> list[str]:
    return [name for name, value in declared.values.items() if stored[name] != value]


def _counted(names: Iterable[str]) -> list[str]:
    return [name for name in names if name != UNCOUNTED]


def _shown(value: Any) -> str:
    try:
        return repr(masked(value))
    except NestedTooDeeply:
        return "…"


def _is_operators(name: str, stored: Mapping[str, Any], known: CodeDefault, task: ScheduledTask) -> bool:
    """Whether the stored value is a person's: it differs from what code declared last, or it did until code
    followed. Without the second, old and new code taking turns would undo a choice that equals one of them.
    """
    if name == "enabled" and not task.enabled and task.state.paused_by == PausedBy.OPERATOR:
        return True
    return name in known.chosen or stored[name] != known.declared.get(name, FIELDS[name].blank)


def _kind(known: CodeDefault, task: ScheduledTask, *, is_changed: bool) -> Kind:
    if known.gone_since is not None:
        return "resumed" if task.state.paused_by == PausedBy.SYNC else "updated"
    return "updated" if is_changed else "unchanged"


def _no_longer_declared(code: Declarations, row: CodeDefault, task: ScheduledTask | None) -> Step:
    declares_none = all(declared.source != Source.DECORATOR for declared in code.tasks)
    if declares_none and row.source == Source.DECORATOR:
        return Step("forgotten", known=row)
    detail = "paused" if task is not None and task.enabled else ""
    return Step("gone", known=row, task=task, detail=detail)
