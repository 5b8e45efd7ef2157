"""Which incidents open, change and close, by what one look has found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connections
from django.db.models import Sum

from ..models import Closing, Incident, IncidentKind, ScheduledTask, Status, TaskRun, database
from ..reading.recent_runs import RecentRun
from .finding import DID_NOT_RUN, FAILED, Fault, Findings, key_of, slow_runs

SEEN_EVERY = timedelta(seconds=60)
"""How often it is written that an incident was seen."""

CLOSED = ("open_key", "closed_at", "closing")
COUNTED = ("run_count", "good_count", "last_run")
AT_ONCE = 200


@dataclass
class Changes:
    """What one look changes. What opened and was over at once is in ``opened`` and ``closed``."""

    now: datetime
    opened: list[Incident] = field(default_factory=list)
    counted: list[Incident] = field(default_factory=list)
    handed_over: list[Incident] = field(default_factory=list)
    """Those whose task has another owner now."""
    closed: list[Incident] = field(default_factory=list)
    standing: list[Incident] = field(default_factory=list)
    """Those that were open before and still are."""

    def open(self, kind: IncidentKind, who: int | str, **columns: object) -> Incident:
        """Open an incident of a task, by its id, or of a part of the machinery, by its name."""
        key = key_of(kind, who)
        incident = Incident(kind=kind, key=key, open_key=key, opened_at=self.now, last_seen_at=self.now)
        for name, value in columns.items():
            setattr(incident, name, value)
        self.opened.append(incident)
        return incident

    def close(self, incident: Incident, closing: Closing, at: datetime | None = None) -> None:
        """Close an incident."""
        incident.open_key, incident.closing = None, closing
        incident.closed_at = incident.last_seen_at = at or self.now
        self.closed.append(incident)

    def count(self, incident: Incident, run_count: int, good_count: int, last_run: int | None) -> None:
        """Note the runs in trouble and the good ones since."""
        counts = max(incident.run_count, run_count), good_count, last_run or incident.last_run_id
        if counts != (incident.run_count, incident.good_count, incident.last_run_id):
            incident.run_count, incident.good_count, incident.last_run_id = counts
            self.counted.append(incident)

    def hand_over(self, incident: Incident, owner: str) -> None:
        """Note that its task has another owner."""
        if incident.owner != owner:
            incident.owner = owner
            self.handed_over.append(incident)

    def __bool__(self) -> bool:
        return bool(self.opened or self.counted or self.handed_over or self.closed or self.standing)


@dataclass
class Episode:
    """Failures in a row, oldest first, and the successes that followed the last one."""

    bad: list[RecentRun] = field(default_factory=list)
    good: list[RecentRun] = field(default_factory=list)


def episodes(runs: Iterable[RecentRun], recover_after: int) -> list[Episode]:
    """The troubles in a task's outcomes, oldest first; so many successes in a row end one."""
    found: list[Episode] = []
    for run in runs:
        if run.status in FAILED:
            if not found or len(found[-1].good) >= recover_after:
                found.append(Episode())
            found[-1].bad.append(run)
            found[-1].good.clear()
        elif run.status == Status.SUCCEEDED and found and len(found[-1].good) < recover_after:
            found[-1].good.append(run)
    return found


def compare(findings: Findings) -> Changes:
    """What has changed since the incidents were last written. Reads little."""
    changes = Changes(findings.now)
    for task in findings.tasks.values():
        if not task.is_stopped:
            _compare_failing(changes, findings, task)
            _compare_late(changes, findings, task)
        else:
            for kind in (IncidentKind.FAILING, IncidentKind.LATE, IncidentKind.SLOW):
                _close_if_open(changes, findings.incidents.get(key_of(kind, task.pk)), Closing.PAUSED)
    _compare_slow(changes, findings)
    _count_ticks(changes)
    if findings.faults is not None:
        _compare_faults(changes, findings, findings.faults)
    for incident in findings.incidents.values():
        if incident.task_id is None:
            continue
        if incident.task_id in findings.tasks:
            changes.hand_over(incident, findings.tasks[incident.task_id].state.owner)
        else:
            changes.close(incident, Closing.DELETED)
    changes.standing = [each for each in findings.incidents.values() if each.open_key is not None]
    return changes


def _of(task: ScheduledTask) -> dict[str, object]:
    return {"task_id": task.pk, "subject": task.name, "owner": task.state.owner}


def _close_if_open(changes: Changes, incident: Incident | None, closing: Closing) -> None:
    if incident is not None and incident.open_key is not None:
        changes.close(incident, closing)


def _compare_failing(changes: Changes, findings: Findings, task: ScheduledTask) -> None:
    outcomes = findings.outcomes.get(task.pk)
    if not outcomes:
        return
    key = key_of(IncidentKind.FAILING, task.pk)
    incident, needed = findings.incidents.get(key), task.state.effective_recover_after
    first = findings.last_runs.get(key, 0) + 1
    if incident is not None:
        first = incident.first_run_id or first
    new = episodes((run for run in reversed(outcomes) if run.id >= first), needed)
    if incident is not None:
        whole = outcomes[-1].id <= first  # more runs than are read, or old ones were pruned
        _go_on(changes, incident, new.pop(0) if new else Episode(good=_successes(outcomes)), whole, needed)
    for episode in new:
        _open_failing(changes, task, episode, needed, findings.since)


def _successes(outcomes: Sequence[RecentRun]) -> list[RecentRun]:
    """For an incident whose runs are gone, or turned out not to have failed."""
    return [run for run in outcomes if run.status == Status.SUCCEEDED]


def _go_on(changes: Changes, incident: Incident, episode: Episode, whole: bool, needed: int) -> None:
    """Count an open incident's runs anew; where not all of them were read, add the new ones."""
    count = len(episode.bad)
    if not whole:
        count = incident.run_count + sum(run.id > (incident.last_run_id or 0) for run in episode.bad)
    last = episode.bad[-1].id if episode.bad else None
    changes.count(incident, count, min(len(episode.good), needed), last)
    if len(episode.good) >= needed:
        changes.close(incident, Closing.RECOVERED)


def _open_failing(
    changes: Changes, task: ScheduledTask, episode: Episode, needed: int, since: datetime
) -> None:
    """Open an incident; also of failures that came and went between two looks, if that was lately."""
    is_over = len(episode.good) >= needed
    ended = episode.good[-1].finished_at if is_over else None
    if ended is not None and ended < since:
        return
    incident = changes.open(
        IncidentKind.FAILING,
        task.pk,
        run_count=len(episode.bad),
        good_count=len(episode.good),
        first_run_id=episode.bad[0].id,
        last_run_id=episode.bad[-1].id,
        **_of(task),
    )
    if is_over:
        incident.opened_at = episode.bad[0].finished_at or changes.now
        changes.close(incident, Closing.RECOVERED, ended)


def _compare_late(changes: Changes, findings: Findings, task: ScheduledTask) -> None:
    if getattr(task, "in_maintenance", False):  # where it neither begins to be late nor recovers
        return
    key = key_of(IncidentKind.LATE, task.pk)
    incident = findings.incidents.get(key)
    outcome: int = getattr(task, "outcome_id", None) or 0
    did_not_run = getattr(task, "outcome_status", "") in DID_NOT_RUN
    is_overdue = bool(getattr(task, "is_late", False))
    missed = _ticks_in_a_row(findings.outcomes.get(task.pk, ())) if did_not_run else []
    if incident is not None:
        if not (did_not_run or is_overdue):
            changes.close(incident, Closing.RECOVERED)
        elif missed:
            since = [pk for pk in missed if pk > (incident.last_run_id or 0)]
            changes.count(incident, incident.run_count + len(since), 0, missed[-1])
        return
    is_new = is_overdue or outcome > findings.last_runs.get(key, 0)
    if (did_not_run or is_overdue) and is_new and findings.punctual and task.pk not in findings.unserved:
        ends = {"first_run_id": missed[0], "last_run_id": missed[-1]} if missed else {}
        changes.open(IncidentKind.LATE, task.pk, run_count=len(missed) or 1, **ends, **_of(task))


def _ticks_in_a_row(outcomes: Iterable[RecentRun]) -> list[int]:
    """The newest runs, oldest first, that did not run."""
    found: list[int] = []
    for run in outcomes:
        if run.status not in DID_NOT_RUN:
            break
        found.append(run.id)
    return found[::-1]


def _count_ticks(changes: Changes) -> None:
    """A row of missed ticks may stand for several."""
    late = [each for each in changes.opened if each.kind == IncidentKind.LATE and each.first_run_id]
    if not late:
        return
    runs = TaskRun.objects.using(database()).filter(status__in=sorted(DID_NOT_RUN))
    runs = runs.filter(pk__gte=min(each.first_run_id or 0 for each in late))
    of_tasks = runs.filter(task__in=[each.task_id for each in late]).order_by()
    sums = dict(of_tasks.values_list("task_id").annotate(Sum("tick_count")))
    for incident in late:
        incident.run_count = max(incident.run_count, sums.get(incident.task_id, 0))


def _compare_slow(changes: Changes, findings: Findings) -> None:
    slow = [
        task for task in findings.tasks.values() if not task.is_stopped and getattr(task, "is_slow", False)
    ]
    new = [task for task in slow if key_of(IncidentKind.SLOW, task.pk) not in findings.incidents]
    runs = slow_runs([task.pk for task in new])
    for task in new:
        run = runs.get(task.pk)
        changes.open(IncidentKind.SLOW, task.pk, run_count=1, first_run_id=run, last_run_id=run, **_of(task))
    still = {key_of(IncidentKind.SLOW, task.pk) for task in slow}
    for incident in findings.incidents.values():
        is_over = incident.kind == IncidentKind.SLOW and incident.key not in still
        if is_over and incident.task_id in findings.tasks:
            _close_if_open(changes, incident, Closing.RECOVERED)


def _compare_faults(changes: Changes, findings: Findings, faults: Collection[Fault]) -> None:
    keys = {fault.key for fault in faults}
    for fault in faults:
        if fault.key not in findings.incidents:
            began = fault.since or changes.now  # as the page has it, not when it had lasted long enough
            changes.open(fault.kind, fault.subject, subject=fault.subject[:255], opened_at=began)
    for incident in findings.incidents.values():
        if incident.task_id is None and incident.key not in keys:
            changes.close(incident, Closing.RECOVERED)


def write(changes: Changes) -> None:
    """Write the incidents: few statements for any number of them. Within a transaction."""
    incidents = Incident.objects.using(database())
    if connections[database()].features.can_return_rows_from_bulk_insert:
        incidents.bulk_create(changes.opened, batch_size=AT_ONCE)
    else:
        for incident in changes.opened:
            incident.save(using=database(), force_insert=True)
    new = {id(incident) for incident in changes.opened}
    counted = [incident for incident in changes.counted if id(incident) not in new]
    incidents.bulk_update(counted, COUNTED, batch_size=AT_ONCE)
    incidents.bulk_update(changes.handed_over, ["owner"], batch_size=AT_ONCE)
    for closing in Closing:
        over = [each.pk for each in changes.closed if each.closing == closing and id(each) not in new]
        if over:
            closed = {"closed_at": changes.now, "last_seen_at": changes.now}
            incidents.filter(pk__in=over).update(open_key=None, closing=closing, **closed)
    if changes.standing:
        seen = incidents.filter(open_key__isnull=False, last_seen_at__lt=changes.now - SEEN_EVERY)
        seen.update(last_seen_at=changes.now)
