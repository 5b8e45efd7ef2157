"""What recording a run costs a worker, beside nothing, django-celery-results and the bare driver.

One prefork worker with two processes per mode, all alive; each round gives every mode the same number of
tasks that do nothing. All workers are started anew every few rounds. "Added" is the processor time of the
whole worker per task, less that of the mode ``nothing`` in the same round. What is less than two
processes of one program differ by is measured in a worker with one process, which takes turns.
"""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Options, say, site
from .figures import Figure

TASKS = 250

GENERATIONS = 5
"""How often all workers are started anew: processes of one program differ by as much as a record costs."""


def run(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    for kind in options.databases:
        say(f"recording on {kind}")
        with site(kind) as place:
            count = options.many(TASKS)
            module = "tests.benchmarks.recording_rounds"
            found = place.measure(module, str(place.home), str(count), str(options.rounds), mode="all")
            rounds = f"{GENERATIONS} x {options.rounds} rounds of {count} tasks"
            figures += _figures(f"recording, {place.name}, {rounds}", found)
    return figures


def _figures(group: str, found: dict[str, float]) -> Iterator[Figure]:
    nothing = found["nothing.cpu"]
    added = {mode: found[f"{mode}.added"] for mode in ("ours", "results", "results-kept", "raw")}
    ours = added["ours"]

    def against(name: str, mode: str, limit: float) -> Figure:
        return Figure(
            group=group,
            name=f"added CPU, of {name}",
            value=ours / added[mode],
            unit="x",
            at_most=limit,
            baseline=f"{name}: +{added[mode]:.2f} ms",
        )

    yield Figure(
        group=group,
        name="added CPU per run",
        value=ours,
        unit=" ms",
        baseline=f"no-op task: {nothing:.2f} ms",
    )
    yield against("django-celery-results", "results", 0.30)
    yield against("the same, connections kept", "results-kept", 0.5)
    recorded, bare = found["recorded.added"], found["bare.added"]
    yield Figure(
        group=group,
        name="added CPU, of the bare driver",
        value=recorded / bare,
        unit="x",
        at_most=3,
        baseline=f"in turns in one process: +{recorded:.2f} ms beside +{bare:.2f} ms",
    )
    yield Figure(
        group=group,
        name="throughput, of no recording",
        value=found["ours.share"],
        unit="x",
        at_least=0.6,
        baseline=", ".join(f"{mode}: {found[mode + '.rate']:.0f}/s" for mode in ("nothing", *added)),
    )
    yield Figure(
        group=group,
        name="added CPU, task not scheduled",
        value=100 * found["unscheduled.more"],
        unit=" %",
        at_most=3,
        baseline=f"without its receivers: {found['unwatched.cpu']:.2f} ms",
    )
    for key, (name, limit) in COUNTED.items():
        if key in found:
            yield Figure(group=group, name=name, value=found[key], at_most=limit)


COUNTED = {
    "statements": ("statements per run in the worker", 2.02),
    "selects": ("SELECTs per run in the worker", 0.02),
    "transactions": ("BEGIN and COMMIT per run", 0),
    "connects": ("connections opened in 400 runs", 0),
    "publisher": ("statements per run in the publisher", 1),
    "unscheduled": ("statements per run not scheduled", 0.02),
}
"""What the server's log says: PostgreSQL only. Two hundredths are left for the worker's own look, every few
seconds, for runs that nobody ended."""
