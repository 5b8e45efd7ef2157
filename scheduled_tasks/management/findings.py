"""What ``manage.py scheduled_tasks_doctor`` finds: one function for each thing that it looks at.

Conditions are those of the system checks, the health line, the sync and the list: whoever looks elsewhere is
told the same.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from operator import itemgetter
from platform import python_version
from typing import Literal, cast

from django.core.checks import ERROR, CheckMessage
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from ..checks import check_databases, check_settings, configured_scheduler
from ..declarations.sync import preview
from ..models import Overlap, Process, ProcessKind, ScheduledTask, TaskRun, Trigger, database
from ..operations.publishing import BadMessage, Unreachable, answering_workers, message
from ..reading.health import other_brokers, problems
from ..reading.tasks import outlook
from ..reasons import Code, Reason, ReasonedError
from ..upkeep.startup import broker_addresses
from .commands.scheduled_tasks_health import FATAL
from .installation import Installation

DISTRIBUTION = "celery-scheduled-tasks"
APPS = ("django_celery_beat", "scheduled_tasks")
MIGRATE = "python manage.py migrate"
SYNC = "python manage.py sync_scheduled_tasks"
CHECK = f"{SYNC} --check"

LACKING = "“%s” starts “%s”, which the code of this process lacks."

MOST_NAMES = 10
"""How many names one sentence has."""

HISTORY = timedelta(days=7)
MOST_RUNS = 100_000
"""How far back, and through how many runs, overlaps are looked for."""

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One sentence, and what helps; ``level`` is ``"info"`` when nothing has to be done."""

    code: str
    level: Level
    text: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Everything that was found, in the order of :data:`LOOKS`. A look that fails is a finding itself."""
    installation = Installation.read()
    found: list[Finding] = []
    for look in LOOKS:
        try:
            found.extend(look(installation))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the installation must be told
            text = f"{look.__name__.replace('_', ' ').capitalize()} could not be examined: {error!r}."
            found.append(Finding("doctor", "error", text, "python manage.py check"))
    return found


def system_checks(installation: Installation) -> Iterator[Finding]:
    """What ``manage.py check`` says of this app."""
    for each in (*check_settings(), *check_databases()):
        if not each.is_silenced():
            yield Finding(str(each.id), _level(each), each.msg, each.hint or "")


def _level(message: CheckMessage) -> Level:
    return "error" if message.level >= ERROR else "warning"


def scheduler(installation: Installation) -> Iterator[Finding]:
    """Which scheduler a beat will run that is not told another one on its command line."""
    chosen, setting = configured_scheduler()
    if chosen is None:
        yield Finding("scheduler", "info", "This process cannot tell which scheduler beat will run.")
    else:
        yield Finding("scheduler", "info", f"Beat will run {chosen}, by {setting}, unless -S says otherwise.")


def eager_tasks(installation: Installation) -> Iterator[Finding]:
    """Whether tasks run where they are sent, which is meant for tests."""
    if installation.app is not None and installation.app.conf.task_always_eager:
        text = "Tasks run in the process that sends them, beat or the web server: no worker gets one."
        yield Finding("eager", "warning", text, "Remove task_always_eager (CELERY_TASK_ALWAYS_EAGER).")


def versions(installation: Installation) -> Iterator[Finding]:
    """Which versions are installed of what this app needs, and which it needs."""
    try:
        required = [text for text in metadata.requires(DISTRIBUTION) or () if ";" not in text]
    except metadata.PackageNotFoundError:
        required = []
    told = [f"Python {python_version()}"]
    for requirement in required:
        name, needed = re.findall(r"^([\w.-]+)(.*)$", requirement)[0]
        told.append(f"{name} {metadata.version(name)} ({needed.strip()})")
    yield Finding("versions", "info", f"Installed (and needed) are {', '.join(told)}.", "python -m pip check")


def tables(installation: Installation) -> Iterator[Finding]:
    """Which database this process uses, whether it answers, and whether it was migrated."""
    connection = connections[database()]
    options = connection.settings_dict
    place = "/".join(filter(None, (options["HOST"] and str(options["HOST"]), str(options["NAME"]))))
    where = f"{connection.vendor} {place} ({connection.alias!r})"
    if installation.database_error:
        text = f"The database {where} does not answer: {installation.database_error}"
        yield Finding("database", "error", text, f"python manage.py dbshell --database {connection.alias}")
        return
    yield Finding("database", "info", f"This process uses the database {where}.")
    executor = MigrationExecutor(connection)
    leaves = [node for node in executor.loader.graph.leaf_nodes() if node[0] in APPS]
    missing = sorted({each.app_label for each, _ in executor.migration_plan(leaves)})
    if missing or installation.machinery is None:
        aliases = "" if connection.alias == "default" else f" --database {connection.alias}"
        text = f"The database lacks migrations of {_listing(missing or APPS)}."
        yield Finding("migrate", "error", text, f"{MIGRATE}{aliases}")


def broker(installation: Installation) -> Iterator[Finding]:
    """Whether the broker answers this process, and which workers answer through it."""
    app = installation.app
    if app is None:
        return
    ours = ", ".join(broker_addresses(app.connection_for_write)) or "no broker"
    yield Finding("broker", "info", f"This process sends to {ours}.")
    remedy = "Start the broker, or correct its address in the settings."
    if installation.machinery is None and not app.conf.broker_write_url:
        yield Finding("broker", "error", str(Reason(Code.NO_BROKER)), remedy)
        return
    try:
        nodes = answering_workers()
    except Unreachable as error:
        yield Finding("broker", "error", f"{error} ({ours})", remedy)
    except BadMessage:  # a transport without remote control
        return
    else:
        if installation.machinery is not None:
            yield from _strangers(nodes, installation)


def _strangers(nodes: Collection[str], installation: Installation) -> Iterator[Finding]:
    workers = installation.alive(ProcessKind.WORKER)
    strangers = {*nodes} - {worker.node for worker in workers}
    tasks = {name for worker in workers for name in worker.task_names if not name.startswith("celery.")}
    others = installation.machinery.others if installation.machinery else ()
    foreign = {each.node for each in others if tasks and tasks.isdisjoint(each.task_names)} & strangers
    if foreign:
        text = f"These workers have other tasks than those that report here: {_listing(sorted(foreign))}. "
        yield Finding("worker", "info", f"{text}What they run is recorded elsewhere.")
    if strangers := strangers - foreign:
        text = (
            "These workers answer through the broker, but keep no heartbeat in this database: "
            f"{_listing(sorted(strangers))}; they use another database, or run code without this app."
        )
        remedy = f"Give them this process's database settings and code, then: {installation.celery} worker"
        yield Finding("worker", "warning", text, remedy)


def processes(installation: Installation) -> Iterator[Finding]:
    """What beat and workers reported, and what the health line says of them."""
    machinery = installation.machinery
    if machinery is None:
        return
    for kind in (ProcessKind.BEAT, ProcessKind.WORKER):
        for process in machinery.alive(kind):
            yield Finding("process", "info", _reported(process))
    for problem in problems(machinery):
        command = installation.named(problem.command).replace("manage.py", "python manage.py")
        level: Level = "error" if problem.code in FATAL else "warning"
        yield Finding(
            problem.code, level, f"{problem.cause} {problem.consequence}", command or problem.remedy
        )
    for beat in machinery.alive(ProcessKind.BEAT):
        if theirs := other_brokers(beat.brokers, machinery):
            text = f"{beat.node} sends to {_listing(beat.brokers)}, but workers read from {_listing(theirs)}."
            yield Finding("broker", "error", text, "Give beat and the workers the same broker URL.")


def _reported(process: Process) -> str:
    if process.kind == ProcessKind.BEAT:
        kind = process.pool or "this app's scheduler"
        return f"{process.node} runs {kind}, uses this database and sends to {_listing(process.brokers)}."
    queues = f"serves {_listing(process.queues)}"
    return f"{process.node} uses this database, reads from {_listing(process.brokers)} and {queues}."


def declarations(installation: Installation) -> Iterator[Finding]:
    """Entries in code that are refused, and what the next sync would change."""
    if installation.code is None:
        yield Finding("code", "error", installation.unreadable, _app_remedy(installation))
        return
    again = CHECK if installation.machinery else MIGRATE
    for problem in installation.code.problems:
        yield Finding("entry", "warning", problem, f"Correct the entry, then: {again}")
    if installation.database_error:
        return
    report = preview(installation.app)
    for problem in report.problems:
        if problem in installation.code.problems:
            continue
        yield Finding("sync", "warning", problem, CHECK)
    kinds = {
        "create": report.created,
        "update": report.updated,
        "resume": report.resumed,
        "pause": report.gone,
    }
    if report.changed:
        told = "; ".join(f"{verb} {_listing(names)}" for verb, names in kinds.items() if names)
        yield Finding("sync", "info", f"The next sync, at migrate or when beat starts, will {told}.", again)


def _app_remedy(installation: Installation) -> str:
    if installation.app is None:
        return "In the project's __init__.py: from .celery import app as celery_app (see docs/install.md)"
    return f"{installation.celery} inspect registered"


def stored_tasks(installation: Installation) -> Iterator[Finding]:
    """Enabled tasks that beat leaves out or no worker knows, and why."""
    if installation.machinery is None:
        return
    known, told_by_code = installation.machinery.known_tasks, False
    if known is None and installation.app is not None and installation.code is not None:
        known, told_by_code = frozenset(installation.app.tasks), True
    for task in ScheduledTask.objects.with_schedules().filter(enabled=True).order_by("name"):
        reason = outlook(task, installation.machinery.now, known)[1] or _refusal(task)
        if reason.code == Code.UNKNOWN_TASK:
            text = LACKING % (task.name, task.task) if told_by_code else f"“{task.name}” cannot run: {reason}"
            yield Finding("unknown_task", "warning", text, f"{installation.celery} inspect registered")
        elif reason:
            text = f"Beat leaves out “{task.name}”: {reason}"
            yield Finding("refused_task", "warning", text, "Correct the task in the admin, or disable it.")


def _refusal(task: ScheduledTask) -> Reason:
    try:
        message(task)
    except ReasonedError as error:
        return error.reason
    return Reason()


def unknown_declared_tasks(installation: Installation) -> Iterator[Finding]:
    """Before ``migrate``: entries in code whose Celery task this process does not have."""
    if installation.code is None or installation.app is None or installation.machinery is not None:
        return
    for declared in installation.code.tasks:
        if declared.task not in installation.app.tasks:
            text = LACKING % (declared.name, declared.task)
            yield Finding("unknown_task", "warning", text, "Correct its task in CELERY_BEAT_SCHEDULE.")


def overlapping_runs(installation: Installation) -> Iterator[Finding]:
    """Scheduled runs that started beside another run of their task, which the task does not allow."""
    if installation.machinery is None:
        return
    now = installation.machinery.now
    counts = _overlaps(now)
    for task in ScheduledTask.objects.with_schedules().filter(pk__in=counts).order_by("name"):
        if task.state.effective_overlap != Overlap.ALLOW:
            text = (
                f"{counts[task.pk]} runs of “{task.name}” in {HISTORY.days} days started while another was "
                "running: another scheduler or a second beat sent them."
            )
            remedy = f'{installation.celery} beat -S scheduled_tasks, alone; or declare overlap="allow"'
            yield Finding("overlap", "warning", text, remedy)


def _overlaps(now: datetime) -> Counter[int]:
    """How many scheduled runs of each task started while another one was running."""
    runs = TaskRun.objects.filter(task__isnull=False, started_at__isnull=False, queued_at__gt=now - HISTORY)
    columns = runs.newest_first().values_list("started_at", "finished_at", "task_id", "trigger")
    until: dict[int, datetime] = {}
    found: Counter[int] = Counter()
    # mypy knows the columns as nullable.
    rows = cast("list[tuple[datetime, datetime | None, int, str]]", [*columns[:MOST_RUNS]])
    for started, finished, task_id, trigger in sorted(rows, key=itemgetter(0)):
        found[task_id] += trigger == Trigger.SCHEDULE and started < until.get(task_id, started)
        until[task_id] = max(finished or now, until.get(task_id, started))
    return +found


def database_connections(installation: Installation) -> Iterator[Finding]:
    """How many connections workers and beats need for this app, and how many the server takes."""
    app, connection = installation.app, connections[database()]
    if app is None or installation.database_error or connection.vendor not in LIMITS:
        return
    children = app.conf.worker_concurrency or os.cpu_count() or 1
    workers = [each.pool for each in installation.alive(ProcessKind.WORKER)] or ["prefork"]
    beats = max(1, len(installation.alive(ProcessKind.BEAT)))
    needed = sum(OF_WORKER + (children if pool == "prefork" else 1) for pool in workers) + OF_BEAT * beats
    with connection.cursor() as cursor:
        cursor.execute(LIMITS[connection.vendor])
        allowed = int(cursor.fetchone()[0])
    text = (
        f"Workers ({len(workers)}, with {children} processes each) and beats ({beats}) hold up to {needed} "
        f"database connections for this app, besides those of tasks and site; the server takes {allowed}."
    )
    level: Level = "warning" if needed >= allowed else "info"
    remedy = 'SCHEDULED_TASKS = {"OWN_CONNECTION": False}, or a higher max_connections of the server'
    yield Finding("connections", level, text, remedy if level == "warning" else "")


LIMITS = {"postgresql": "SHOW max_connections", "mysql": "SELECT @@max_connections"}
OF_WORKER = 2
"""Connections of a worker's main process: the recorder's, and for moments one that looks after runs. Each of
its children has one.
"""
OF_BEAT = 4
"""Those of the main loop and the recorder, and for moments two that look after runs and incidents."""

LOOKS: tuple[Callable[[Installation], Iterator[Finding]], ...] = (
    system_checks,
    scheduler,
    eager_tasks,
    versions,
    tables,
    broker,
    processes,
    declarations,
    unknown_declared_tasks,
    stored_tasks,
    overlapping_runs,
    database_connections,
)


def _listing(names: Collection[str]) -> str:
    """The names, the first :data:`MOST_NAMES` of them."""
    shown = ", ".join([*names][:MOST_NAMES])
    return f"{shown} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else shown
