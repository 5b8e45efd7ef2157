"""Tasks that a command names."""

from __future__ import annotations

from difflib import get_close_matches

from django.core.management.base import CommandError

from ..models import ScheduledTask


def task_id_of(name: str) -> int:
    """The id of the task with that name. Raises CommandError, with the closest name, where there is none."""
    tasks = ScheduledTask.objects.values_list("pk", flat=True)
    task_id: int | None = tasks.filter(name=name).first()
    if task_id is not None:
        return task_id
    meant = get_close_matches(name, ScheduledTask.objects.values_list("name", flat=True), n=1)
    raise CommandError(
        f"There is no scheduled task {name}." + (f" Did you mean {meant[0]}?" if meant else "")
    )
