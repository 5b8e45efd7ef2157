"""The rounds of the benchmark ``recording`` on one database: ``HOME TASKS ROUNDS``; prints JSON."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from uuid import uuid4

import django
import redis
from django.db import connection

from tests.benchmarks import raw
from tests.benchmarks.bench import ROOT, Rounds, Site, cpu_ms, interleaved, median, say
from tests.benchmarks.recording import GENERATIONS
from tests.guard import Guarded

MODES = ("nothing", "results", "results-kept", "raw", "ours")
TURNS = "turns"
"""A worker whose one process is told who is to record its tasks: what is looked for there is less than two
processes of one program differ by."""

VARIANTS = {
    "unwatched": ("", False),
    "watched": ("ours", False),
    "alone": ("", True),
    "bare": ("raw", True),
    "recorded": ("ours", True),
}
"""Who records the tasks of that process, and whether they are scheduled."""

LOGGED_RUNS = 400
WARM_UP = 40
PATIENCE = 120
NAME = "measured"


class Measured:
    """One worker per mode, on a queue called like the mode."""

    def __init__(self, place: Site, stack: ExitStack) -> None:
        from tests.benchmarks.celery import app

        self.app = app
        self.broker = redis.Redis.from_url(place.broker_url)
        self.workers = {mode: self._start(place, mode, stack) for mode in (*MODES, TURNS)}
        for mode in MODES:
            self.run(mode, WARM_UP)
        for variant in VARIANTS:
            self.run_variant(variant, WARM_UP)

    def _start(self, place: Site, mode: str, stack: ExitStack) -> Guarded:
        command = [sys.executable, "-m", "celery", "-A", "tests.benchmarks.celery", "worker", "-P", "prefork"]
        apps, processes = ("ours", "1") if mode == TURNS else (mode, "2")
        command += ["-c", processes, "-Q", mode, "-n", f"{mode}@bench", "-l", "WARNING"]
        command += ["--without-mingle", "--without-gossip"]
        env = place.env(apps, PGAPPNAME=mode, PYTHONHASHSEED="0")
        worker = Guarded(command, log=place.home / f"{mode}.log", env=env, cwd=ROOT)
        stack.callback(worker.stop)
        return worker

    def stage(self, mode: str, count: int, *, scheduled: bool, opened: bool) -> None:
        """Put ``count`` messages where no worker looks, with the rows that a scheduler would have made."""
        ids = [str(uuid4()) for _ in range(count)]
        if opened:
            _open_rows(ids)
        origin = {"name": NAME, "task": 1, "trigger": "schedule", "recorded": True}
        headers = {"periodic_task_name": NAME, "scheduled_tasks": origin} if scheduled else {}
        with self.app.producer_pool.acquire() as producer:
            for celery_id in ids:
                self.app.send_task(
                    "bench.noop",
                    task_id=celery_id,
                    queue=f"staged-{mode}",
                    headers=headers,
                    producer=producer,
                )

    def release(self, mode: str) -> None:
        """Let the worker have the staged messages, and wait until it has acknowledged the last of them."""
        self.broker.rename(f"staged-{mode}", mode)
        self._wait(mode)

    def _wait(self, mode: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.broker.exists(mode) or self.broker.hlen("unacked"):
            if time.monotonic() > deadline or not self.workers[mode].running:
                raise RuntimeError(f"the worker {mode} is stuck:\n{self.workers[mode].output()}")
            time.sleep(0.01)

    def run(self, mode: str, count: int) -> dict[str, float]:
        """Processor time per task in ms and tasks per second of one batch."""
        self.stage(mode, count, scheduled=True, opened=mode == "ours")
        return self._run(mode, count)

    def run_variant(self, variant: str, count: int) -> dict[str, float]:
        """The same of the process that takes turns."""
        recorder, scheduled = VARIANTS[variant]
        self.app.send_task("bench.record", [recorder], queue=TURNS)
        self._wait(TURNS)
        self.stage(TURNS, count, scheduled=scheduled, opened=variant == "recorded")
        return self._run(TURNS, count)

    def _run(self, mode: str, count: int) -> dict[str, float]:
        pid = self.workers[mode].pid
        before, begun = cpu_ms(pid), time.monotonic()
        self.release(mode)
        took = time.monotonic() - begun
        return {"cpu": (cpu_ms(pid) - before) / count, "rate": count / took}

    def publish(self, count: int) -> None:
        """Send as a project does, so that the row is made by the sender."""
        for _ in range(count):
            self.app.send_task("bench.noop", queue="published", headers={"periodic_task_name": NAME})


def _open_rows(ids: list[str]) -> None:
    from scheduled_tasks.models import TaskRun, database_now

    now = database_now()
    TaskRun.objects.bulk_create(
        TaskRun(celery_id=each, task_id=1, name=NAME, queued_at=now, open_since=now) for each in ids
    )


def summed_up(rounds: Rounds) -> dict[str, float]:
    """Medians of processor time and rate, and of what each mode adds to ``nothing`` in the same round."""
    found = {}
    for mode in MODES:
        for key in ("cpu", "rate"):
            found[f"{mode}.{key}"] = median(rounds, lambda each, mode=mode, key=key: each[mode][key])
        found[f"{mode}.added"] = median(
            rounds, lambda each, mode=mode: each[mode]["cpu"] - each["nothing"]["cpu"]
        )
        found[f"{mode}.share"] = median(
            rounds, lambda each, mode=mode: each[mode]["rate"] / each["nothing"]["rate"]
        )
    return found


def turns_summed_up(rounds: Rounds) -> dict[str, float]:
    """Medians of what the process that takes turns spends on a record, on a bare one, and on looking whether
    a task is scheduled, which is given as a share."""

    def added(variant: str) -> float:
        return median(rounds, lambda each: each[variant]["cpu"] - each["alone"]["cpu"])

    share = median(rounds, lambda each: each["watched"]["cpu"] / each["unwatched"]["cpu"])
    return {
        "recorded.added": added("recorded"),
        "bare.added": added("bare"),
        "unwatched.cpu": median(rounds, lambda each: each["unwatched"]["cpu"]),
        "unscheduled.more": share - 1,
    }


def check_recorded() -> None:
    """A cheap record is worth nothing when it is not there."""
    from django_celery_results.models import TaskResult

    from scheduled_tasks.models import Status, TaskRun

    for worker in ("ours", TURNS):
        assert TaskRun.objects.filter(worker=f"{worker}@bench").exists()
    assert not TaskRun.objects.exclude(status=Status.SUCCEEDED).exists()
    results = TaskResult.objects.all()
    assert results.exists()
    assert not results.exclude(status="SUCCESS").exists()


HEARTBEAT = re.compile("scheduled_tasks_(process|lease)")


class ServerLog:
    """What the PostgreSQL server logs of each of the benchmark's processes."""

    PREFIX = re.compile(r"^<<([\w-]*)>>", re.MULTILINE)
    STATEMENT = re.compile(r"LOG:\s+(?:statement|execute [^:]*):\s*(\w+)(.*)", re.DOTALL)

    def __init__(self, path: Path) -> None:
        self.path = path
        settings = {"log_line_prefix": "<<%a>>", "log_statement": "all", "log_connections": "on"}
        with connection.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            cursor.execute("SELECT pg_reload_conf()")
        time.sleep(1)  # the server's processes take the settings over between two statements
        self.start = path.stat().st_size

    def entries(self) -> Iterator[tuple[str, str]]:
        """``(process, text)`` of what was logged since the last call."""
        time.sleep(0.5)
        with self.path.open() as file:
            file.seek(self.start)
            text = file.read()
            self.start = file.tell()
        parts = self.PREFIX.split(text)
        yield from zip(parts[1::2], parts[2::2], strict=True)

    def count(self, process: str) -> dict[str, int]:
        """Statements by first word, and ``"CONNECT"``; heartbeats are left out, which tasks do not cause."""
        found: dict[str, int] = {}
        for name, text in self.entries():
            statement = self.STATEMENT.search(text)
            if name != process or HEARTBEAT.search(text):
                continue
            word = statement[1].upper() if statement else "CONNECT" if "connection auth" in text else ""
            if word:
                found[word] = found.get(word, 0) + 1
        return found


def counted(measured: Measured, home: Path) -> dict[str, float]:
    """Statements per run, as the server logged them."""
    log = ServerLog(home / "postgres.log")
    measured.run("ours", WARM_UP)
    log.count("ours")
    measured.run("ours", LOGGED_RUNS)
    ours = log.count("ours")
    measured.run_variant("watched", LOGGED_RUNS)
    unscheduled = log.count(TURNS)
    measured.publish(WARM_UP)
    log.count("publisher")
    measured.publish(LOGGED_RUNS)
    publisher = log.count("publisher")
    say(f"logged: worker {ours}, not scheduled {unscheduled}, publisher {publisher}")
    connects = ours.pop("CONNECT", 0)
    return {
        "statements": sum(ours.values()) / LOGGED_RUNS,
        "selects": ours.get("SELECT", 0) / LOGGED_RUNS,
        "transactions": (ours.get("BEGIN", 0) + ours.get("COMMIT", 0)) / LOGGED_RUNS,
        "connects": connects,
        "publisher": sum(publisher.values()) / LOGGED_RUNS,
        "unscheduled": sum(unscheduled.values()) / LOGGED_RUNS,
    }


def main(home: str, tasks: str, rounds: str) -> None:
    os.environ["PGAPPNAME"] = "publisher"
    django.setup()
    raw.make_table()
    kind = "sqlite" if connection.vendor == "sqlite" else "postgres"
    place = Site(kind, Path(home), os.environ["DATABASE_URL"], os.environ["CELERY_BROKER_URL"])
    found: Rounds = []
    turns: Rounds = []
    for _ in range(GENERATIONS):
        with ExitStack() as stack:
            measured = Measured(place, stack)
            found += interleaved(MODES, int(rounds), partial(measured.run, count=int(tasks)))
            turn = partial(measured.run_variant, count=int(tasks))
            turns += interleaved(tuple(VARIANTS), 2 * int(rounds), turn)
    check_recorded()
    flat = summed_up(found) | turns_summed_up(turns)
    if kind == "postgres":
        with ExitStack() as stack:
            flat |= counted(Measured(place, stack), place.home)
    print(json.dumps(flat))


if __name__ == "__main__":
    main(*sys.argv[1:])
