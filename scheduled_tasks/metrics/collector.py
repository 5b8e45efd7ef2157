"""The metrics' names, and how each is worked out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..models import OPEN, Flag, Process, ProcessKind, Status
from ..models.clock import elapsed
from ..reading.machinery import Machinery
from ..reading.tasks import next_run
from .measured import WINDOWS, Waiting, measured_tasks, open_incidents, ticks, waiting_runs

NAMESPACE = "scheduled_tasks"

Metrics = Iterator[GaugeMetricFamily]


class TaskCollector(Collector):
    """Reads the tables when it is asked: one statement for each kind of row, whatever the number of tasks."""

    def collect(self) -> Metrics:
        """Every metric, in a stable order."""
        machinery, waiting = Machinery.read(), waiting_runs()
        yield from _tasks(machinery, waiting)
        yield from _ticks(machinery)
        yield from _queues(machinery, waiting)
        yield from _processes(machinery)
        incidents = _gauge("incidents_open", "Open incidents by kind.", "kind")
        for kind, count in open_incidents().items():
            incidents.add_metric([kind], count)
        yield incidents


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{NAMESPACE}_{name}", text, labels=labels)


def _tasks(machinery: Machinery, waiting: list[Waiting]) -> Metrics:
    last_run = _gauge("task_last_run_timestamp_seconds", "When the newest run started.", "task")
    success = _gauge("task_last_success_timestamp_seconds", "When the last success ended.", "task")
    following = _gauge("task_next_run_timestamp_seconds", "When it is due next.", "task")
    duration = _gauge("task_last_duration_seconds", "How long the last ended run took.", "task")
    streak = _gauge("task_failure_streak", "Outcomes in a row that were no success.", "task")
    late = _gauge("task_late_seconds", "How long a start is overdue; 0 while it is not late.", "task")
    enabled = _gauge("task_enabled", "Whether it is enabled.", "task")
    flags = {flag: _gauge(f"task_{flag}", f"Whether it has the flag {flag}.", "task") for flag in Flag}
    waits_since = {each.task_id: each.since for each in sorted(waiting, key=_since, reverse=True)}
    for task in measured_tasks(machinery):
        name = [task.name]
        next_run_at = next_run(task, machinery.now)[0]
        _add_moment(last_run, name, task.last_run)
        _add_moment(success, name, task.last_success)
        _add_moment(following, name, next_run_at)
        _add_span(duration, name, elapsed(task.begun, task.done))
        streak.add_metric(name, task.streak or 0)
        enabled.add_metric(name, task.enabled)
        for flag, gauge in flags.items():
            gauge.add_metric(name, bool(getattr(task, f"is_{flag}")))
        due = [moment for moment in (next_run_at, waits_since.get(task.pk)) if moment]
        is_late = getattr(task, f"is_{Flag.LATE}") and due
        _add_span(late, name, elapsed(min(due), machinery.now) if is_late else timedelta(0))
    yield from (last_run, success, following, duration, streak, late, enabled, *flags.values())


def _since(waiting: Waiting) -> datetime:
    return waiting.since


def _ticks(machinery: Machinery) -> Metrics:
    """Ticks are counted anew in a window that moves: no counter, but a gauge."""
    gauge = _gauge(
        "ticks", "Scheduled times by what became of them, over the last hour and day.", "outcome", "window"
    )
    counts = {row["status"]: row for row in ticks(machinery.now)}
    for window in WINDOWS:
        for status in Status:
            if status not in OPEN:
                gauge.add_metric([status, window], counts.get(status, {}).get(f"in_{window}") or 0)
    yield gauge


def _queues(machinery: Machinery, waiting: list[Waiting]) -> Metrics:
    workers = [*machinery.alive(ProcessKind.WORKER), *machinery.others]
    chosen: dict[str, str] = {}
    for worker in workers:
        chosen |= worker.task_queues
    oldest: dict[str, datetime] = {}
    counts: dict[str, int] = {}
    for each in waiting:
        queue = each.queue or chosen.get(each.celery_task, "")
        oldest[queue] = min(oldest.get(queue, each.since), each.since)
        counts[queue] = counts.get(queue, 0) + each.count
    age = _gauge("queue_oldest_run_age_seconds", "How long the oldest run has waited for a worker.", "queue")
    length = _gauge("queue_waiting_runs", "Runs that wait for a worker.", "queue")
    served = _gauge("queue_workers", "Living workers that listen to the queue.", "queue")
    for queue in sorted(
        {*counts, *machinery.used_queues, *(name for each in workers for name in each.queues)}
    ):
        _add_span(age, [queue], elapsed(oldest.get(queue, machinery.now), machinery.now))
        length.add_metric([queue], counts.get(queue, 0))
        if queue:
            served.add_metric([queue], sum(queue in worker.queues for worker in workers))
    yield from (age, length, served)


def _processes(machinery: Machinery) -> Metrics:
    alive = _gauge("processes", "Living beats and workers.", "kind")
    for kind in ProcessKind:
        number = len(machinery.others if kind == ProcessKind.OTHER else machinery.alive(kind))
        alive.add_metric([kind], number)
    leading = _gauge("beat_leading", "Whether a living beat leads.")
    leading.add_metric([], any(machinery.leads(beat) for beat in machinery.alive(ProcessKind.BEAT)))
    backlog = _gauge(
        "recorder_backlog_seconds",
        "Age of the last heartbeat, which is written after what a process recorded before it.",
        "node",
    )
    error = _gauge("recorder_failing", "Whether the last write of a run failed.", "node")
    for node, process in sorted(_newest_by_node(machinery).items()):
        _add_span(backlog, [node], elapsed(process.last_seen_at, machinery.now))
        error.add_metric([node], bool(process.recorder_error))
    yield from (alive, leading, backlog, error)


def _newest_by_node(machinery: Machinery) -> dict[str, Process]:
    """The living process of each node name; a restarted one has the name of the one before."""
    living = [process for process in machinery.processes if not machinery.is_silent(process)]
    return {process.node: process for process in reversed(living)}


def _add_moment(gauge: Any, labels: list[str], moment: datetime | None) -> None:
    if moment is not None:
        gauge.add_metric(labels, moment.timestamp())


def _add_span(gauge: Any, labels: list[str], span: timedelta | None) -> None:
    if span is not None:
        gauge.add_metric(labels, span.total_seconds())
