"""Two beats, a worker and all that can go wrong: ``python -m tests.soak [--minutes 5] [--db postgres]``.

Beats are killed, paused and restarted at random. The broker and the database are servers of the soak's own:
they are stopped, killed and started again, the database takes no writes, and the beats' way to them is cut
and jammed; on SQLite others keep the database locked instead. Several troubles may go on at once. Afterwards
every tick that was due must be in exactly one row, no message may have been sent twice and no run started
twice.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import embedded
from tests.chaos.proxy import Proxy

if TYPE_CHECKING:
    from django_celery_beat.models import PeriodicTask

    from tests.live import Beat

SECONDS = (1, 2, 5, 10, 30, 60)
OVERLAPS = ("skip", "allow", "queue_one")
CLOCKED_EVERY = 7
OUTAGE = (1.0, 12.0)
PAUSE = (2.0, 40.0)
QUIET = (1.0, 8.0)
"""Seconds between two troubles."""

CALM = 240
"""Seconds within which, the troubles over, everything that was due must be accounted for."""

LEADS = re.compile(r"^\[(\S+ \S+): .*This beat leads now \(epoch (\d+)\)", re.MULTILINE)
SAID = re.compile(r"^\[(\S+ \S+): ", re.MULTILINE)
SENT = re.compile(r"^\[(\S+ \S+): .*Sent (.+) for (\S+ \S+)$", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--db", choices=["sqlite", "postgres"], default="postgres")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10_000)
    print(f"soak on {options.db}, seed {seed}", flush=True)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="scheduled-tasks-soak-"))
        home.chmod(0o711)
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        places = start_servers(options.db, home)
        for place in places.values():
            stack.callback(place.server.stop)
        return Soak(stack, random.Random(seed), places, options.db).run(options.minutes * 60)


@dataclass(frozen=True)
class Place:
    """A server of the soak's own, the signal that stops it and the one that is a crash to it."""

    server: embedded.Server
    url: str
    stop: signal.Signals
    crash: signal.Signals


def start_servers(kind: str, home: Path) -> dict[str, Place]:
    """The broker and, unless it is a file, the database; their addresses go into the environment."""
    places = {"broker": Place(*embedded.start_valkey(home), signal.SIGTERM, signal.SIGKILL)}
    os.environ["CELERY_BROKER_URL"] = places["broker"].url
    os.environ["DATABASE_URL"] = f"sqlite:///{home}/soak.sqlite3"
    os.environ["DEMO_DIR"] = str(home / "site")
    if kind == "postgres":
        postgres = embedded.start_postgres(home, "test_soak", synchronous_commit="on")
        places["database"] = Place(*postgres, signal.SIGINT, signal.SIGQUIT)
        os.environ["DATABASE_URL"] = places["database"].url
    return places


@dataclass(frozen=True)
class Trouble:
    """Something that begins now and ends ``seconds`` later."""

    name: str
    target: object
    end: Callable[[], None]
    seconds: float = 0.0


class Soak:
    """One run of the soak test."""

    def __init__(self, stack: ExitStack, chance: random.Random, places: dict[str, Place], kind: str) -> None:
        import django

        django.setup()
        from django.test.utils import setup_databases

        setup_databases(verbosity=0, interactive=False)
        from tests.live import Worker

        self.stack, self.chance, self.places = stack, chance, places
        self.logs = Path(os.environ.get("TEST_RESULTS", "test-results")) / f"soak-{kind}"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.doors = {name: stack.enter_context(Proxy(place.url)) for name, place in places.items()}
        variables = {"broker": "CELERY_BROKER_URL", "database": "DATABASE_URL"}
        self.env = {variables[name]: door.url for name, door in self.doors.items()}
        self.worker = Worker(queues=["celery"], logs=self.logs)
        stack.callback(lambda: self.worker.stop())
        self.under_way: list[tuple[float, Trouble]] = []
        self.events: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.all_beats: list[Beat] = []
        self.make_tasks()
        self.beats = [self.start(), self.start()]

    def make_tasks(self) -> None:
        from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

        from scheduled_tasks.beat import lease
        from scheduled_tasks.declarations.sync import sync
        from scheduled_tasks.models import Lease, ScheduledTask, TaskState

        sync()
        ScheduledTask.objects.all().delete()
        # As if a beat had led before: the first one ever has no tick to miss that came before it.
        Lease.objects.create(name=lease.NAME, epoch=1)
        minute = CrontabSchedule.objects.create(minute="*", hour="*", timezone="Europe/Paris")
        for overlap in OVERLAPS:
            for seconds in SECONDS:
                every = IntervalSchedule.objects.create(every=seconds, period="seconds")
                schedule: dict[str, Any] = {"crontab": minute} if seconds == 60 else {"interval": every}
                name = f"{overlap} every {seconds} s"
                schedule |= {"task": "tests.tasks.add", "args": "[1, 2]"}
                task = PeriodicTask.objects.create(name=name, **schedule)
                TaskState.objects.create(task_id=task.pk, overlap=overlap)

    def make_clocked_tasks(self, seconds: float) -> None:
        """Tasks that are due once, all through the soak."""
        from django_celery_beat.models import ClockedSchedule, PeriodicTask

        now = datetime.now(UTC)
        for after in range(CLOCKED_EVERY, int(seconds), CLOCKED_EVERY):
            clocked = ClockedSchedule.objects.create(clocked_time=now + timedelta(seconds=after))
            PeriodicTask.objects.create(
                name=f"once after {after} s",
                clocked=clocked,
                one_off=True,
                task="tests.tasks.add",
                args="[1, 2]",
            )

    def start(self) -> Beat:
        from tests.live import Beat

        beat = Beat(logs=self.logs, env=self.env)
        self.stack.callback(beat.stop)
        self.all_beats.append(beat)
        return beat

    def run(self, seconds: float) -> int:
        self.make_clocked_tasks(seconds)
        end = time.monotonic() + seconds
        begin_next = time.monotonic()
        while time.monotonic() < end:
            self.look_after()
            if time.monotonic() >= begin_next:
                self.begin_trouble()
                begin_next = time.monotonic() + self.chance.uniform(*QUIET)
            time.sleep(0.1)
        for _until, trouble in self.under_way:
            trouble.end()
        self.settle()
        for beat in self.beats:
            beat.stop()
        return self.verdict()

    def look_after(self) -> None:
        """End the troubles whose time has come; bring back what should be there."""
        now = time.monotonic()
        for until, trouble in list(self.under_way):
            if until <= now:
                self.under_way.remove((until, trouble))
                trouble.end()
        for number, beat in enumerate(self.beats):
            if not beat.running:
                self.wrong.append(f"{beat.name} ended by itself")
                self.beats[number] = self.start()
        self.revive_worker()

    def revive_worker(self) -> None:
        """A worker may end by itself when its broker is away for long; a supervisor starts it again."""
        from tests.live import Worker

        if not self.worker.running and not self.busy(self.places["broker"]):
            self.events["worker ended"] += 1
            self.worker = Worker(queues=["celery"], logs=self.logs)

    def begin_trouble(self) -> None:
        make = self.chance.choice(
            [
                *(self.kill, self.stop, self.pause, self.restart_server, self.restart_server),
                *(self.shut_door, self.freeze_broker, self.refuse_writes),
            ]
        )
        trouble = make()
        if trouble is not None:
            self.events[trouble.name] += 1
            self.under_way.append((time.monotonic() + trouble.seconds, trouble))

    def busy(self, target: object) -> bool:
        """Whether the target is in trouble already."""
        return any(trouble.target is target for _until, trouble in self.under_way)

    def free_beat(self) -> int | None:
        number = self.chance.randrange(len(self.beats))
        return None if self.busy(self.beats[number]) else number

    def kill(self) -> Trouble | None:
        number = self.chance.randrange(len(self.beats))  # a paused one too
        self.under_way = [each for each in self.under_way if each[1].target is not self.beats[number]]
        self.beats[number].kill()
        self.beats[number] = self.start()
        return Trouble("kill -9", None, lambda: None)

    def stop(self) -> Trouble | None:
        number = self.free_beat()
        if number is None:
            return None
        self.beats[number].stop()
        self.beats[number] = self.start()
        return Trouble("stop", None, lambda: None)

    def pause(self) -> Trouble | None:
        number = self.free_beat()
        if number is None:
            return None
        beat = self.beats[number]
        beat.signal(signal.SIGSTOP)
        return Trouble("pause", beat, lambda: beat.signal(signal.SIGCONT), self.chance.uniform(*PAUSE))

    def restart_server(self) -> Trouble | None:
        name = self.chance.choice(list(self.places))
        place = self.places[name]
        if self.busy(place):
            return None
        crash = self.chance.random() < 0.5
        place.server.crash(place.crash if crash else place.stop)
        what = f"{name} {'crashed' if crash else 'stopped'}"
        return Trouble(what, place, place.server.start, self.chance.uniform(*OUTAGE))

    def freeze_broker(self) -> Trouble | None:
        """Let the broker take what it is sent, and do it and answer only afterwards."""
        place = self.places["broker"]
        if self.busy(place):
            return None
        place.server.freeze()
        return Trouble("broker frozen", place, place.server.thaw, self.chance.uniform(*OUTAGE))

    def refuse_writes(self) -> Trouble | None:
        """Have the database take no writes, as in a failover, which may also end the connections."""
        place = self.places.get("database")
        if place is None or self.busy(place):
            return None
        cut = self.chance.random() < 0.5
        embedded.refuse_writes(place.url, True, cut=cut)
        end = partial(embedded.refuse_writes, place.url, False, cut=cut)
        return Trouble("database read-only", place, end, self.chance.uniform(*OUTAGE))

    def shut_door(self) -> Trouble | None:
        """Cut or jam a beat's way to a server; a file has none, there others keep the lock."""
        name = self.chance.choice(["broker", "database"])
        if name not in self.doors:
            return self.lock_file()
        door = self.doors[name]
        if self.busy(door):
            return None
        trouble = self.chance.choice([door.refuse, door.hang, door.reset])
        trouble()
        seconds = self.chance.uniform(*OUTAGE)
        return Trouble(f"way to the {name}: {trouble.__name__}", door, door.restore, seconds)

    def lock_file(self) -> Trouble | None:
        if self.busy(self.worker):
            return None
        over = threading.Event()
        threading.Thread(target=keep_lock, args=(over,), daemon=True).start()
        return Trouble("database locked", self.worker, over.set, self.chance.uniform(*OUTAGE))

    def settle(self) -> None:
        """Wait until everything that was due before now is accounted for."""
        from django.db import DatabaseError, connection

        due = datetime.now(UTC)
        deadline = time.monotonic() + CALM
        while time.monotonic() < deadline:
            self.look_after()
            try:
                if all(task.scheduled_state.accounted_until >= self.last_tick(task, due) for task in tasks()):
                    return
            except DatabaseError:
                connection.close()
            time.sleep(1)
        self.wrong.append(f"not everything due before {due} was accounted for within {CALM} s")

    def first_tick(self, task: PeriodicTask) -> datetime:
        changed: datetime = task.date_changed
        if task.clocked:
            return task.clocked.clocked_time
        if task.interval:
            return changed + timedelta(seconds=task.interval.every)
        return changed.replace(second=0, microsecond=0) + timedelta(minutes=1)

    def last_tick(self, task: PeriodicTask, until: datetime) -> datetime:
        """The last tick up to ``until``; the moment before the first where there is none."""
        first = self.first_tick(task)
        if task.clocked:
            return first
        return first + (until - first) // step(task) * step(task)

    def verdict(self) -> int:
        from django.db import connection

        from scheduled_tasks.models import TaskRun
        from scheduled_tasks.reasons import Code

        connection.close()
        logs = [beat.output() for beat in self.all_beats]
        self.wrong += [line for task in tasks() for line in self.unaccounted(task)]
        self.wrong += self.sent_twice(logs)
        self.wrong += self.sent_early(logs)
        self.wrong += [
            beat.name + " shows a traceback" for beat in self.all_beats if "Traceback" in beat.output()
        ]
        print("troubles:", dict(self.events))
        print("rows:", dict(Counter(TaskRun.objects.values_list("status", flat=True))))
        reasons = Counter(TaskRun.objects.exclude(reason="").values_list("status", "reason"))
        for (status, reason), count in sorted(reasons.items()):
            print(f"{count:6} {status}: {reason}")
        ambiguous = TaskRun.objects.filter(reason=Code.SENT_UNNOTED)
        print("ambiguous ticks (claimed, nobody knows whether sent):", ambiguous.count())
        print("longest time without a message:", self.longest_silence())
        print("longest gap between leaders:", self.longest_gap(logs))
        print("\n".join(self.wrong) or "every tick is in exactly one row, nothing was sent or started twice")
        return 1 if self.wrong else 0

    def unaccounted(self, task: PeriodicTask) -> Iterator[str]:
        """Sentences about ticks of the task that are in no row, or in two."""
        from scheduled_tasks.models import TaskRun

        expected = first = self.first_tick(task)
        for row in TaskRun.objects.filter(task_id=task.pk).order_by("scheduled_for", "id"):
            if row.scheduled_for != expected:
                yield f"{task.name}: expected {expected}, found {row.status} {row.scheduled_for}"
            last = row.scheduled_until or row.scheduled_for
            if last != row.scheduled_for + (row.tick_count - 1) * step(task):
                yield f"{task.name}: {row.tick_count} ticks from {row.scheduled_for} to {last}"
            expected = last + step(task)
        kept, last = task.scheduled_state.accounted_until, expected - step(task)
        if expected == first or (kept != last and not task.clocked):
            yield f"{task.name}: accounted until {kept}, rows until {last}"

    def sent_twice(self, logs: list[str]) -> Iterator[str]:
        """Sentences about messages that were sent twice, and runs that were started twice.

        A broker that loses a connection delivers again what was not acknowledged, and says so.
        """
        from scheduled_tasks.models import TaskRun

        sent = Counter((name, tick) for log in logs for _at, name, tick in SENT.findall(log))
        for (name, tick), count in sent.items():
            if count > 1:
                yield f"{name} was sent {count} times for {tick}"
        again = TaskRun.objects.filter(attempts__gt=1)
        print("started again after the broker delivered again:", again.filter(redelivered=True).count())
        for run in again.filter(redelivered=False):
            yield f"{run} of {run.scheduled_for} started {run.attempts} times"

    def sent_early(self, logs: list[str]) -> Iterator[str]:
        """Sentences about messages that were sent before their tick."""
        for at, name, tick in (found for log in logs for found in SENT.findall(log)):
            if moment(at) + timedelta(milliseconds=1) < datetime.fromisoformat(tick):
                yield f"{name} was sent for {tick} at {moment(at)}"

    def longest_silence(self) -> timedelta:
        from scheduled_tasks.models import TaskRun

        moments = TaskRun.objects.exclude(sent_at=None).order_by("sent_at").values_list("sent_at", flat=True)
        return max((after - before for before, after in pairwise(moments)), default=timedelta())

    def longest_gap(self, logs: list[str]) -> str:
        """From the last word of a leader to the next beat that leads."""
        leads = sorted((int(epoch), moment(at), log) for log in logs for at, epoch in LEADS.findall(log))
        gaps = [
            until - max(said for said in map(moment, SAID.findall(log)) if said < until)
            for (_epoch, _since, log), (_next, until, _log) in pairwise(leads)
        ]
        longest = max(gaps, default=timedelta()).total_seconds()
        return f"{longest:.1f} s ({len(leads)} leaders)"


def moment(text: str) -> datetime:
    """The time of a line in a log."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").astimezone(UTC)


def tasks() -> Any:
    from django_celery_beat.models import PeriodicTask

    return PeriodicTask.objects.select_related("interval", "clocked", "scheduled_state")


def step(task: PeriodicTask) -> timedelta:
    """The time between two ticks."""
    return timedelta(seconds=task.interval.every) if task.interval else timedelta(minutes=1)


def keep_lock(over: threading.Event) -> None:
    """Keep SQLite's one lock for all writers."""
    from django.contrib.auth.models import User
    from django.db import connection, transaction

    with transaction.atomic():
        User.objects.create(username=str(time.time()))
        over.wait()
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
