"""The admin pages with 1,000 tasks and 1,000,000 runs, beside Django's emptiest ones and others' lists."""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Options, say, site
from .figures import Figure

TASKS = 1_000
RUNS_PER_TASK = 1_000


def run(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    for kind in options.databases:
        per_task = max(20, options.many(RUNS_PER_TASK))
        say(f"pages on {kind}, {TASKS * per_task:,} runs")
        with site(kind) as place:
            module, rounds = "tests.benchmarks.pages_rounds", str(8 * options.rounds)
            found = place.measure(module, str(TASKS), str(per_task), rounds, mode="all")
            group = f"pages, {place.name}, {TASKS:,} tasks, {TASKS * per_task:,} runs"
            figures += _list(group, found)
            figures += _runs(group, found)
            figures += _polls(group, found)
    return figures


def _list(group: str, found: dict[str, float]) -> Iterator[Figure]:
    yield Figure(
        group=group,
        name="list, statements",
        value=found["list.statements"],
        at_most=9,
        baseline=f"empty changelist: {found['empty.statements']:.0f}, "
        f"django-celery-beat's list: {found['dcb.statements']:.0f}",
    )
    yield Figure(
        group=group,
        name="list of 50, CPU of django-celery-beat's list of 50",
        value=found["list/dcb"],
        unit="x",
        at_most=1,
        baseline=f"{found['list.cpu']:.1f} ms beside {found['dcb.cpu']:.1f} ms",
    )
    yield Figure(group=group, name="drawer, statements", value=found["drawer.statements"], at_most=8)


def _runs(group: str, found: dict[str, float]) -> Iterator[Figure]:
    yield Figure(
        group=group,
        name="runs, CPU of an empty changelist",
        value=found["runs/empty"],
        unit="x",
        at_most=5,
        baseline=f"{found['runs.cpu']:.1f} ms beside {found['empty.cpu']:.1f} ms, "
        f"{found['runs.statements']:.0f} statements",
    )
    yield Figure(
        group=group,
        name="runs, page 5,000, CPU of page 1",
        value=found["deep/runs"],
        unit="x",
        at_most=1.3,
        baseline=f"SQL {found['deep.sql']:.1f} ms beside {found['runs.sql']:.1f} ms",
    )


def _polls(group: str, found: dict[str, float]) -> Iterator[Figure]:
    words = {
        "unchanged": ("refresh, nothing new", 3, 0),
        "changed": ("refresh, 5 of 50 rows", 25, None),
    }
    for name, (text, limit, size) in words.items():
        yield Figure(
            group=group,
            name=f"{text}, CPU of a null view",
            value=found[f"{name}/null"],
            unit="x",
            at_most=limit,
            baseline=f"{found[f'{name}.cpu']:.1f} ms beside {found['null.cpu']:.1f} ms; "
            f"{found[f'{name}.statements']:.0f} statements, {found[f'{name}.sql']:.1f} ms",
        )
        if size is not None:
            yield Figure(
                group=group,
                name=f"{text}, body{' gzipped' if size else ''}",
                value=found[f"{name}.{'gz' if size else 'bytes'}"],
                unit=" B",
                at_most=size,
            )
