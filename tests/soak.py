"""Two beats, a worker and all that can go wrong: ``python -m tests.soak [--minutes 5] [--db postgres]``.

Beats are killed, paused and restarted at random, the broker and (on PostgreSQL) the database are cut off.
Afterwards every tick of every task must be in exactly one row, and no run may have been started twice.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import plugin

if TYPE_CHECKING:
    from tests.live import Beat

OUTAGE = (3.0, 12.0)
PAUSE = (2.0, 40.0)
SETTLE = 45.0
"""Seconds of calm at the end: a lead that nobody gave up runs out, a pause of beat's attempts too."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--db", choices=["sqlite", "postgres"], default="postgres")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10_000)
    print(f"seed {seed}", flush=True)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    with ExitStack() as stack:
        plugin.prepare(options.db, stack)
        return Soak(stack, random.Random(seed), options.db).run(options.minutes * 60)


class Soak:
    """One run of the soak test."""

    def __init__(self, stack: ExitStack, chance: random.Random, kind: str) -> None:
        import django

        django.setup()
        from django.test.utils import setup_databases

        setup_databases(verbosity=0, interactive=False)
        from tests.live import Worker
        from tests.proxy import Proxy

        self.chance = chance
        self.stack = stack
        self.logs = Path("test-results/soak")
        self.outages = [broker := Proxy(os.environ["CELERY_BROKER_URL"], 6379)]
        self.env = {"CELERY_BROKER_URL": broker.url}
        if kind == "postgres":
            self.outages.append(database := Proxy(os.environ["DATABASE_URL"], 5432))
            self.env["DATABASE_URL"] = database.url
        for proxy in self.outages:
            proxy.restore()
            stack.callback(proxy.cut)
        self.worker = Worker(queues=["celery"], logs=self.logs)
        stack.callback(self.worker.stop)
        self.make_tasks()
        self.events: Counter[str] = Counter()
        self.all_beats: list[Beat] = []
        self.beats = [self.start(), self.start()]

    def make_tasks(self) -> None:
        from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

        from scheduled_tasks.models import ScheduledTask, TaskState
        from scheduled_tasks.sync import sync

        sync()
        ScheduledTask.objects.all().delete()
        minute = CrontabSchedule.objects.create(minute="*", hour="*", timezone="Europe/Paris")
        for overlap in ("skip", "allow", "queue_one"):
            for seconds in (1, 2, 5, 60):
                every = IntervalSchedule.objects.create(every=seconds, period="seconds")
                schedule: dict[str, Any] = {"crontab": minute} if seconds == 60 else {"interval": every}
                name = f"{overlap} every {seconds} s"
                schedule |= {"task": "tests.tasks.add", "args": "[1, 2]"}
                task = PeriodicTask.objects.create(name=name, **schedule)
                TaskState.objects.create(task_id=task.pk, overlap=overlap)

    def start(self) -> Beat:
        from tests.live import Beat

        beat = Beat(logs=self.logs, env=self.env)
        self.stack.callback(beat.stop)
        self.all_beats.append(beat)
        return beat

    def run(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        actions: list[Callable[[], None]] = [self.kill, self.stop, self.pause, self.outage]
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(1, 15))
            self.chance.choice(actions)()
        time.sleep(SETTLE)
        for beat in self.beats:
            beat.stop()
        return self.verdict()

    def any_beat(self) -> int:
        return self.chance.randrange(len(self.beats))

    def kill(self) -> None:
        number = self.any_beat()
        self.beats[number].kill()
        self.events["kill -9"] += 1
        self.beats[number] = self.start()

    def stop(self) -> None:
        number = self.any_beat()
        self.beats[number].stop()
        self.events["stop"] += 1
        self.beats[number] = self.start()

    def pause(self) -> None:
        beat = self.beats[self.any_beat()]
        beat.signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(*PAUSE))
        beat.signal(signal.SIGCONT)
        self.events["pause"] += 1

    def outage(self) -> None:
        number = self.chance.randrange(len(self.outages))
        self.outages[number].cut()
        time.sleep(self.chance.uniform(*OUTAGE))
        self.outages[number].restore()
        self.events[("broker", "database")[number] + " cut"] += 1

    def verdict(self) -> int:
        from django_celery_beat.models import PeriodicTask

        from scheduled_tasks.models import TaskRun

        wrong = [line for task in PeriodicTask.objects.all() for line in self.unaccounted(task)]
        wrong += [f"{run} started {run.attempts} times" for run in TaskRun.objects.filter(attempts__gt=1)]
        wrong += [beat.name for beat in self.beats if "Traceback" in beat.output()]
        print(dict(self.events), dict(Counter(TaskRun.objects.values_list("status", flat=True))))
        reasons = Counter(TaskRun.objects.exclude(reason="").values_list("status", "reason"))
        for (status, reason), count in sorted(reasons.items()):
            print(f"{count:6} {status}: {re.sub(r'[0-9]+', 'n', reason)[:120]}")
        print("longest time without a message:", self.longest_gap())
        print("\n".join(wrong) or "every tick is in exactly one row, no run started twice")
        return 1 if wrong else 0

    def unaccounted(self, task: Any) -> list[str]:
        """Sentences about ticks of the task that are in no row, or in two."""
        from scheduled_tasks.models import TaskRun, TaskState

        step = timedelta(seconds=task.interval.every) if task.interval else timedelta(minutes=1)
        rows = TaskRun.objects.filter(task_id=task.pk).order_by("scheduled_for", "id")
        expected, wrong = None, []
        for row in rows:
            if expected is not None and row.scheduled_for != expected:
                wrong.append(f"{task.name}: expected {expected}, found {row.status} {row.scheduled_for}")
            last = row.scheduled_until or row.scheduled_for
            if last != row.scheduled_for + (row.tick_count - 1) * step:
                wrong.append(f"{task.name}: {row.tick_count} ticks from {row.scheduled_for} to {last}")
            expected = last + step
        state = TaskState.objects.get(pk=task.pk)
        if expected is None or state.accounted_until != expected - step:
            wrong.append(f"{task.name}: accounted until {state.accounted_until}, rows until {expected}")
        return wrong

    def longest_gap(self) -> timedelta:
        from itertools import pairwise

        from scheduled_tasks.models import TaskRun

        moments = TaskRun.objects.exclude(sent_at=None).order_by("sent_at").values_list("sent_at", flat=True)
        return max((after - before for before, after in pairwise(moments)), default=timedelta())


if __name__ == "__main__":
    sys.exit(main())
