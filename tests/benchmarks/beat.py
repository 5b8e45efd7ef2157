"""The scheduler beside django-celery-beat's own ``DatabaseScheduler``, with 100, 1,000 and 10,000 tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .bench import Options, Rounds, Site, interleaved, median, say, site
from .figures import Figure

SIZES = (100, 1_000, 10_000)
DUE = 1_000
IDLE_SECONDS = 60
MODULE = "tests.benchmarks.beat_process"
APPS = {"stock": "nothing", "ours": "ours"}


def run(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    for kind in options.databases:
        with site(kind) as place:
            for size in SIZES:
                tasks = options.many(size)
                say(f"beat on {kind}, {tasks} tasks")
                place.python(MODULE, "fill", str(tasks), mode="ours")
                rounds = _rounds(place, options, "idle", tasks)
                group = f"beat, {place.name}, {tasks:,} tasks"
                figures += _idle_figures(group, rounds, largest=size == SIZES[-1])
                if size == SIZES[-1]:
                    figures += _asleep(group, place, options)
            figures += _dispatch(place, options)
    return figures


def _rounds(place: Site, options: Options, what: str, count: int) -> Rounds:
    def measure(mode: str) -> dict[str, float]:
        found: dict[str, float] = json.loads(
            place.python(MODULE, what, mode, str(count), mode=APPS[mode]).splitlines()[-1]
        )
        return found

    return interleaved(tuple(APPS), options.rounds, measure)


def _ratio(rounds: Rounds, key: str) -> float:
    return median(rounds, lambda each: each["ours"][key] / each["stock"][key])


def _told(rounds: Rounds, key: str, unit: str) -> str:
    found = {mode: median(rounds, lambda each, mode=mode: each[mode][key]) for mode in ("ours", "stock")}
    return f"{found['ours']:.3g}{unit} beside {found['stock']:.3g}{unit}"


def _idle_figures(group: str, rounds: Rounds, *, largest: bool) -> Iterator[Figure]:
    """Only with many tasks do the stock scheduler's costs of an idle tick show."""

    def ratio(name: str, key: str, limit: float | None) -> Figure:
        told = _told(rounds, key, " ms")
        return Figure(
            group=group, name=name, value=_ratio(rounds, key), unit="x", at_most=limit, baseline=told
        )

    yield ratio("start, CPU of stock", "start", None)
    yield ratio("idle tick, CPU of stock", "idle", 0.02 if largest else None)
    yield ratio("reload, CPU of stock", "reload", 0.6)
    yield Figure(
        group=group,
        name="memory per task",
        value=median(rounds, lambda each: each["ours"]["memory"]),
        unit=" kB",
        baseline=_told(rounds, "memory", " kB"),
    )


def _asleep(group: str, place: Site, options: Options) -> Iterator[Figure]:
    seconds = str(options.many(IDLE_SECONDS))
    found = place.measure(MODULE, "asleep", seconds, mode="ours")
    yield Figure(group=group, name="an idle beat, of a core", value=found["core"], unit=" %", at_most=1)
    yield Figure(
        group=group,
        name="an idle beat, SELECTs per second",
        value=found["reads"],
        at_most=1,
        baseline="of all threads: one look a second",
    )
    yield Figure(
        group=group, name="an idle beat, writes per second", value=found["writes"], at_most=0.2,
        baseline="of all threads: renewals of the lease and heartbeats, together one every 5 s",
    )  # fmt: skip


def _dispatch(place: Site, options: Options) -> Iterator[Figure]:
    due = options.many(DUE)
    say(f"beat on {place.kind}, {due} due at once")
    rounds = _rounds(place, options, "dispatch", due)
    group = f"beat, {place.name}, {due:,} tasks due at one moment"

    def ours(key: str) -> float:
        return median(rounds, lambda each: each["ours"][key])

    yield Figure(
        group=group,
        name="dispatch, CPU of a bare send_task",
        value=ours("ratio"),
        unit="x",
        at_most=2,
        baseline=f"{_told(rounds, 'dispatch', ' ms')}; bare {ours('bare'):.2g} ms",
    )
    yield Figure(
        group=group,
        name="the last one is late, of stock",
        value=_ratio(rounds, "late"),
        unit="x",
        at_most=0.15,
        baseline=_told(rounds, "late", " s"),
    )
    yield Figure(
        group=group,
        name="write-back, statements per entry",
        value=ours("sync_statements"),
        at_most=0.01,
        baseline=_told(rounds, "sync_statements", ""),
    )
    yield Figure(
        group=group,
        name="write-back, CPU of stock",
        value=_ratio(rounds, "sync"),
        unit="x",
        baseline=_told(rounds, "sync", " ms"),
    )
