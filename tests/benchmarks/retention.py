"""Deleting 900,000 of 1,000,000 runs: how long others that write wait for it, and what it takes itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from .bench import ROOT, Options, Site, say, site
from .figures import Figure

TASKS = 1_000
RUNS_PER_TASK = 1_000
WAITS = {"sqlite": 100, "postgres": 50}
CALM_SECONDS = 10
MODULE = "tests.benchmarks.retention_process"


def run(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    for kind in options.databases:
        per_task = options.many(RUNS_PER_TASK)
        say(f"retention on {kind}, {TASKS * per_task:,} runs")
        with site(kind) as place:
            place.python(MODULE, "fill", str(TASKS), str(per_task), mode="ours")
            twin = _copy(place)
            calm = _with_writer(place, "rest", str(CALM_SECONDS))
            plain = _with_writer(twin, "plain", str(TASKS * per_task))
            ours = _with_writer(place, "prune", str(TASKS * per_task))
            figures += _figures(
                f"retention, {place.name}, 90 % of {TASKS * per_task:,} runs", kind, calm, plain, ours
            )
    return figures


def _copy(place: Site) -> Site:
    """The same site with a copy of its database."""
    if place.kind == "sqlite":
        path = Path(place.database_url.removeprefix("sqlite:///"))
        shutil.copy(path, path.with_name("twin.sqlite3"))
        return replace(place, database_url=f"sqlite:///{path.with_name('twin.sqlite3')}")
    place.python(MODULE, "copy", "twin", mode="ours")
    return replace(place, database_url=urlsplit(place.database_url)._replace(path="/twin").geturl())


def _with_writer(place: Site, *command: str) -> dict[str, float]:
    """What ``command`` found while another process inserted a run every 20 ms, and how long that waited."""
    stop = place.home / "stop"
    stop.unlink(missing_ok=True)
    writer = subprocess.Popen(
        [sys.executable, "-m", MODULE, "write", str(stop)],
        env=place.env("ours"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    try:
        writer.stdout.readline()
        found = place.measure(MODULE, *command, mode="ours")
    finally:
        stop.touch()
        said, _ = writer.communicate(timeout=120)
    waits: dict[str, float] = json.loads(said.splitlines()[-1])
    return found | waits


def _figures(
    group: str, kind: str, calm: dict[str, float], plain: dict[str, float], ours: dict[str, float]
) -> Iterator[Figure]:
    yield Figure(
        group=group,
        name="a writer's longest wait",
        value=ours["longest"],
        unit=" ms",
        at_most=WAITS[kind],
        baseline=f"one DELETE: {plain['longest']:.0f} ms; nothing deleted: {calm['longest']:.0f} ms",
    )
    yield Figure(
        group=group,
        name="one of a hundred waits longer than",
        value=ours["p99"],
        unit=" ms",
        baseline=f"one DELETE: {plain['p99']:.0f} ms; nothing deleted: {calm['p99']:.0f} ms",
    )
    yield Figure(
        group=group,
        name="time, of one DELETE",
        value=ours["took"] / plain["took"],
        unit="x",
        at_most=1.5,
        baseline=f"{ours['took']:.1f} s beside {plain['took']:.1f} s",
    )
    yield Figure(group=group, name="memory", value=ours["memory"], unit=" MB", at_most=20)
