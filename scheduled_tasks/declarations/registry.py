"""The declarations of this process, kept until a sync reads them. Makes no Celery app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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


@dataclass(frozen=True)
class TaskDefinition:
    """One recurring job as code declares it; `values` are those of the fields, as they are stored."""

    name: str
    values: dict[str, Any]
    origin: Origin
    task: Any
    """The Celery task or a proxy of it; looking into a proxy makes the Celery app."""
    formerly: tuple[str, ...] = ()
    """Names and Celery names that it had before."""

    @property
    def task_name(self) -> str:
        """Celery's name of the task. Ask for it when the project's Celery app is there: this completes it."""
        return str(self.task.name)

    def is_again(self, earlier: TaskDefinition) -> bool:
        """Whether this is `earlier` executed again: its module was reloaded, or runs as ``__main__`` too."""
        here, there = self.origin, earlier.origin
        if self.task is earlier.task:
            return (self.values, here) == (earlier.values, there)
        same_place = (here.file, here.function) == (there.file, there.function)
        return same_place and "<locals>" not in here.function


definitions: dict[str, TaskDefinition] = {}
"""By name: what ``@scheduled_task`` has declared, and the sync reads."""


def add(definition: TaskDefinition) -> None:
    """Keep `definition`, in place of an earlier one that a reload has made obsolete.

    Raises:
        WrongDeclaration: when another declaration has the name.
    """
    earlier = definitions.get(definition.name)
    if earlier is not None and not definition.is_again(earlier):
        raise wrong(definition.origin, definition.name, f"{earlier.origin} declares this name already.")
    definitions[definition.name] = definition


def wrong(origin: Origin, name: object, reason: str) -> WrongDeclaration:
    """The error to raise for a declaration of `name` at `origin`."""
    return WrongDeclaration(f'File {origin}: scheduled task "{name}": {reason}')
