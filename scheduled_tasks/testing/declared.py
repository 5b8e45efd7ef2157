"""What a project's code declares, and when that runs; needs no database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import islice
from pprint import pformat

from django.utils import timezone

from .. import schedules
from ..cron import InvalidCron
from ..declarations.beat_schedule import CLEANUP
from ..declarations.code import Declarations, read
from ..declarations.fields import Declared, unstored
from ..declarations.plan import folded
from ..models import Source

Moment = datetime | str
"""A time, or its ISO 8601 text such as ``"2026-06-10 03:00"``."""


def declared_tasks() -> dict[str, Declared]:
    """The tasks that code declares, by name: ``@scheduled_task`` and ``CELERY_BEAT_SCHEDULE``.

    ``task`` is Celery's name of each, ``values`` are its schedule, time zone, arguments and policies.

    Raises :class:`.declarations.code.CodeUnreadable`, also when two ``@scheduled_task`` share a name.
    """
    return {declared.name: declared for declared in read().tasks}


def assert_next_runs(name: str, expected: Sequence[Moment], *, after: Moment) -> None:
    """Assert that the declared task next runs at the moments ``expected``, and at no others between them.

    An empty ``expected`` says that it never runs. A moment without a zone is in the time zone of the task.
    Of an interval ``after`` is the run it counts from.

    Raises ``LookupError`` when no such task is declared.
    """
    __tracebackhide__ = True
    tasks = declared_tasks()
    if name not in tasks:
        raise LookupError(f"No task is declared as {name!r}. Declared are {', '.join(tasks) or 'none'}.")
    task = unstored(tasks[name])
    zone = schedules.zone(task)
    found = [
        moment.astimezone(zone)
        for moment in islice(schedules.next_runs(task, aware(after, zone)), max(len(expected), 1))
    ]
    wanted = [aware(moment, zone) for moment in expected]
    if found != wanted:
        raise AssertionError(
            f"{name} runs at other moments than expected.\n"
            f"expected: {_shown(wanted, zone)}\n"
            f"   found: {_shown(found, zone)}"
        )


def assert_declared_tasks(expected: Mapping[str, str]) -> None:
    """Assert that all declared tasks run, and that none of ``expected`` was renamed without an alias.

    ``expected`` maps the name of every declared task to Celery's name of it. It fails when a task is neither
    declared so any more nor named by ``formerly`` of another one, when a declared task is missing in it,
    when a schedule never fires, when an entry of ``CELERY_BEAT_SCHEDULE`` is unusable, and when two tasks
    share a name.

    Raises :class:`.declarations.code.CodeUnreadable`, also when two ``@scheduled_task`` share a name.
    """
    __tracebackhide__ = True
    code = read()
    problems = [*code.problems, *_silent(code), *_alike(code), *_renamed(code, expected)]
    if problems:
        now = {declared.name: declared.task for declared in code.tasks}
        raise AssertionError("\n".join([*problems, "Declared now:", pformat(now, width=100)]))


def _silent(code: Declarations) -> Iterator[str]:
    for declared in code.tasks:
        try:
            if schedules.next_run(unstored(declared), timezone.now()) is None:
                yield f"“{declared.name}” never fires: {declared.values['schedule']}."
        except (InvalidCron, schedules.Unschedulable) as error:
            yield f"“{declared.name}” never fires: {error}"


def _alike(code: Declarations) -> Iterator[str]:
    """Names that are the same to MariaDB, which compares neither case nor accents."""
    names: dict[str, str] = {}
    for declared in code.tasks:
        other = names.setdefault(folded(declared.name), declared.name)
        if other != declared.name:
            yield f"“{other}” and “{declared.name}” are one name to MariaDB. Rename one of them."


def _renamed(code: Declarations, expected: Mapping[str, str]) -> Iterator[str]:
    tasks = {declared.name: declared for declared in code.tasks}
    former = {name for declared in code.tasks for name in declared.formerly}
    for name, path in expected.items():
        declared = tasks.get(name)
        if declared is not None and declared.task == path:
            continue
        if path in former or (declared is None and name in former):
            continue
        if declared is None:
            yield (
                f"“{name}” ({path}) is not declared any more. If it has another name now, add "
                f'formerly=["{path}"] to its @scheduled_task. If it was removed, remove it from this list.'
            )
        elif declared.source == Source.DECORATOR:
            yield f'“{name}” was {path}. Add formerly=["{path}"] to its @scheduled_task.'
        else:
            yield f"“{name}” was {path}, and CELERY_BEAT_SCHEDULE says {declared.task}. Correct this list."
    for declared in code.tasks:
        is_renamed = any({name, path} & {*declared.formerly} for name, path in expected.items())
        if declared.name not in expected and not is_renamed and declared.name != CLEANUP:
            yield f"“{declared.name}” ({declared.task}) is not in this list."


def aware(moment: Moment, zone: tzinfo) -> datetime:
    """The moment, in ``zone`` where it names none."""
    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _shown(moments: Sequence[datetime], zone: tzinfo) -> str:
    shown = (moment.astimezone(zone).isoformat(" ") for moment in moments)
    return ", ".join(shown) or "never"
