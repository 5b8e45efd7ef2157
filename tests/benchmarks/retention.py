"""Deleting 900,000 of 1,000,000 runs: how long others that write wait for it, and what it takes itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from .bench import ROOT, Options, Rounds, Site, interleaved, median, say, site
from .figures import Figure

TASKS = 1_000
RUNS_PER_TASK = 1_000
WAITS = {"sqlite": 250, "postgres": 50}
CALM_SECONDS = 10
MODULE = "tests.benchmarks.retention_process"
COPY = "copy_for_one_round"


def run(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    for kind in options.databases:
        runs = str(TASKS * options.many(RUNS_PER_TASK))
        say(f"retention on {kind}, {int(runs):,} runs")
        with site(kind) as place:
            place.python(MODULE, "fill", str(TASKS), runs, mode="ours")
            commands = {"rest": str(CALM_SECONDS), "plain": runs, "prune": runs}
            rounds = interleaved(list(commands), options.rounds, partial(_on_a_copy, place, commands))
            figures += _figures(f"retention, {place.name}, 90 % of {int(runs):,} runs", kind, rounds)
    return figures


def _on_a_copy(place: Site, commands: dict[str, str], command: str) -> dict[str, float]:
    with _copy(place) as copied:
        return _with_writer(copied, command, commands[command])


@contextmanager
def _copy(place: Site) -> Iterator[Site]:
    """The same site with a copy of its database, gone afterwards."""
    place.python(MODULE, "copy", COPY, mode="ours")
    if place.kind == "sqlite":
        url = f"sqlite:///{place.home / COPY}"
    else:
        url = urlsplit(place.database_url)._replace(path=f"/{COPY}").geturl()
    yield replace(place, database_url=url)
    place.python(MODULE, "drop", COPY, mode="ours")


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


def _figures(group: str, kind: str, rounds: Rounds) -> Iterator[Figure]:
    def longest(mode: str, name: str) -> float:
        return max(each[mode][name] for each in rounds)

    def baseline(name: str) -> str:
        return f"one DELETE: {longest('plain', name):.0f} ms; nothing deleted: {longest('rest', name):.0f} ms"

    yield Figure(
        group=group,
        name="a writer's longest wait",
        value=longest("prune", "longest"),
        unit=" ms",
        at_most=WAITS[kind],
        baseline=baseline("longest"),
    )
    yield Figure(
        group=group,
        name="one of a hundred waits longer than",
        value=longest("prune", "p99"),
        unit=" ms",
        baseline=baseline("p99"),
    )
    took = {mode: median(rounds, lambda each, mode=mode: each[mode]["took"]) for mode in ("prune", "plain")}
    yield Figure(
        group=group,
        name="time, of one DELETE",
        value=median(rounds, lambda each: each["prune"]["took"] / each["plain"]["took"]),
        unit="x",
        at_most=1.5,
        baseline=f"{took['prune']:.1f} s beside {took['plain']:.1f} s",
    )
    memory = max(each["prune"]["memory"] for each in rounds)
    yield Figure(group=group, name="memory", value=memory, unit=" MB", at_most=20)
