"""The admin pages with 1,000 tasks and 1,000,000 runs, beside Django's emptiest ones and others' lists."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from .bench import ROOT, Options, Site, say, site
from .figures import Figure

TASKS = 1_000
RUNS_PER_TASK = 1_000
FEW = 10
"""Runs per task in a second database, to compare with many."""

LOOKS = 10
"""Per round, at the list of both databases in turns."""


def run(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    for kind in options.databases:
        per_task = max(20, options.many(RUNS_PER_TASK))
        say(f"pages on {kind}, {TASKS * per_task:,} runs")
        with site(kind) as place, site(kind) as other:
            module, rounds = "tests.benchmarks.pages_rounds", str(8 * options.rounds)
            found = place.measure(module, str(TASKS), str(per_task), rounds, mode="all")
            found |= _beside_few(place, other, LOOKS * options.rounds)
            group = f"pages, {place.name}, {TASKS:,} tasks, {TASKS * per_task:,} runs"
            figures += _list(group, found)
            figures += _runs(group, found, sqlite=kind == "sqlite")
            figures += _polls(group, found)
    return figures


def _beside_few(many: Site, few: Site, looks: int) -> dict[str, float]:
    """SQL time of the list with many runs per task and with few, in turns. A process each: it remembers."""
    found = {}
    with _looker(many) as one, _looker(few, str(TASKS), str(FEW)) as other:
        for what in ("same", "moved", "unknown"):
            _look(one, what), _look(other, what)
            times = [(_look(one, what), _look(other, what)) for _ in range(looks)]
            found |= {
                f"{what}.many.sql": median(each for each, _ in times),
                f"{what}.few.sql": median(each for _, each in times),
                f"{what}.many/few": median(each / other for each, other in times),
            }
    return found


@contextmanager
def _looker(place: Site, *made: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.benchmarks.pages_looks", *made]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=place.env("all"), cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield process


def _look(looker: subprocess.Popen[str], what: str) -> float:
    assert looker.stdin is not None
    assert looker.stdout is not None
    print(what, file=looker.stdin, flush=True)
    return float(looker.stdout.readline())


def _list(group: str, found: dict[str, float]) -> Iterator[Figure]:
    yield Figure(
        group=group,
        name="list, statements",
        value=max(found["list.statements"], found["first.statements"]),
        at_most=9,
        baseline=f"empty changelist: {found['empty.statements']:.0f}, "
        f"django-celery-beat's list: {found['dcb.statements']:.0f}",
    )
    yield Figure(
        group=group,
        name="list, CPU of an empty changelist",
        value=found["list/empty"],
        unit="x",
        at_most=4,
        baseline=f"{found['list.cpu']:.1f} ms beside {found['empty.cpu']:.1f} ms; "
        f"django-celery-beat's list: {found['dcb/empty']:.1f}x",
    )
    yield Figure(
        group=group,
        name="list with no row in memory, CPU of an empty changelist",
        value=found["first/empty"],
        unit="x",
        baseline=f"{found['first.cpu']:.1f} ms beside {found['empty.cpu']:.1f} ms",
    )
    words = {
        "same": ("list, SQL time, of that with 10 runs per task", 1.2),
        "moved": ("the same where five tasks of the page have run since", None),
        "unknown": ("the same with nothing in memory", None),
    }
    for name, (text, limit) in words.items():
        yield Figure(
            group=group,
            name=text,
            value=found[f"{name}.many/few"],
            unit="x",
            at_most=limit,
            baseline=f"{found[f'{name}.many.sql']:.1f} ms beside {found[f'{name}.few.sql']:.1f} ms",
        )
    yield Figure(group=group, name="drawer, statements", value=found["drawer.statements"], at_most=6)


def _runs(group: str, found: dict[str, float], *, sqlite: bool) -> Iterator[Figure]:
    yield Figure(
        group=group,
        name="runs, CPU of an empty changelist",
        value=found["runs/empty"],
        unit="x",
        at_most=5,
        baseline=f"{found['runs.cpu']:.1f} ms beside {found['empty.cpu']:.1f} ms, "
        f"{found['runs.statements']:.0f} statements",
    )
    key, what, limit = ("cpu", "CPU", 0.02) if sqlite else ("sql", "SQL time", 0.1)
    yield Figure(
        group=group,
        name=f"runs, {what} of django-celery-results' list",
        value=found[f"runs.{key}"] / found[f"results.{key}"],
        unit="x",
        at_most=limit,
        baseline=f"{found[f'runs.{key}']:.1f} ms beside {found[f'results.{key}']:.0f} ms",
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
        "unchanged": ("poll, nothing new", 1.5, 0),
        "changed": ("poll, 5 of 100 rows", 5, 4_000),
        "unknown": ("poll, 5 of 100 rows, version not known", None, None),
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
