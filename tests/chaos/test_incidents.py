"""Incidents of real tasks, told by real processes that die all the time: once to each channel.

``SOAK_SECONDS`` says for how long the process that tells them is killed (default 120), ``SOAK_SEED`` repeats
a sequence of kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count, pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Task
from django.db import Error, connection, transaction

from scheduled_tasks.alerts.webhook import signing_key
from scheduled_tasks.models import OPEN, Incident, Lease, Notice, NoticeState, Status, TaskRun, TaskState
from tests import tasks
from tests.alerts.receiver import Post, Receiver, documented_verifier, status
from tests.factories import make_task
from tests.integration.test_beat import LEADS, no_other_jobs
from tests.live import CeleryProcess, wait_for

__all__ = ["no_other_jobs"]

SECONDS = float(os.environ.get("SOAK_SECONDS", "120"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(10**6)
AT_ONCE = 2
"""Tasks that fail and recover side by side in each round."""

FAILS, REFUSES, DIES_AFTER = 3, 0.1, 0.15
RECOVERS_WITHIN = 180.0
BEATS, WORKERS = ("beat1", "beat2"), ("worker1", "worker2")


class Channel(Receiver):
    """Verifies every signature. ``on_taken`` is called once it has answered that it takes a message."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = [self.answer]
        self.refusing = 0.0
        self.random = random.Random(SEED)
        self.forged: list[Post] = []
        self.on_taken: Callable[[], None] = lambda: None

    def answer(self, handler: object) -> None:
        post: Post = handler.post
        if not documented_verifier()(signing_key(), post.headers["ST-Signature"], post.body):
            self.forged.append(post)
        if self.random.random() < self.refusing:
            status(503)(handler)
            return
        post.taken = True
        status(204)(handler)
        self.on_taken()

    def told(self) -> dict[tuple[str, str], set[str]]:
        """The keys of the messages that were taken, by event and subject, or kind for the machinery.

        A message that is about more incidents than it lists says how many: the database knows which.
        """
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for post in [post for post in self.posts if post.taken]:
            message = json.loads(post.body)
            subjects = [incident["task"] or incident["kind"] for incident in message["incidents"]]
            if message["total"] > len(subjects):
                of_notice = Incident.objects.filter(notices=post.key, kind="failing")
                subjects = [*of_notice.values_list("subject", flat=True)]
                assert len(subjects) == message["total"]
            for subject in subjects:
                found[message["event"], subject].add(post.key)
        return found


class House:
    """Two beats, two workers and two channels; any of the four processes may be the one that tells."""

    def __init__(self, start_beat: Callable[..., CeleryProcess], start_worker: Callable[..., CeleryProcess]):
        self._start = {**dict.fromkeys(BEATS, start_beat), **dict.fromkeys(WORKERS, start_worker)}
        self.queue = f"incidents-{uuid4().hex[:8]}"
        self.processes: dict[str, CeleryProcess] = {}
        self.channels: list[Channel] = []
        self.deaths: list[float] = []
        self.home: Path | None = None

    def start(self, *names: str) -> None:
        """Start those of these processes that do not run."""
        env = {
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings_incidents",
            "ALERTS": json.dumps([channel.url() for channel in self.channels]),
            "DEATHS": str(self.home or ""),
        }
        for name in names:
            process = self.processes.get(name)
            if process is None or not process.running:
                more = {"queues": [self.queue]} if name in WORKERS else {}
                self.processes[name] = self._start[name](env=env, **more)

    def kill(self, *names: str) -> None:
        for name in names:
            self.deaths.append(time.monotonic())
            self.processes[name].kill()

    def teller(self) -> str:
        """The name of the process that holds the lease of the incidents; empty while none of these does."""
        lease = Lease.objects.filter(name="incidents", until__isnull=False).first()
        note = self.home / lease.holder if self.home and lease else None
        pid = int(note.read_text() or 0) if note and note.exists() else 0
        alive = (
            name for name, process in [*self.processes.items()] if process.running and process.pid == pid
        )
        return next(alive, "")

    def all_deaths(self) -> list[float]:
        assert self.home
        return self.deaths + [float(file.read_text()) for file in self.home.glob("death-*")]


class Killer(threading.Thread):
    """Kills whoever tells, at random moments and right after a channel took a message, and restarts it."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house, self.over = house, threading.Event()
        self.random, self.taken = random.Random(SEED), threading.Event()
        self.kills = 0

    def run(self) -> None:
        while not self.over.is_set():
            self.taken.wait(self.random.uniform(1, 6))
            with suppress(Error, AssertionError):  # the file is locked, or nobody tells for long
                self.house.kill(wait_for(self.house.teller, timeout=10, message="somebody tells"))
                self.kills += 1
            self.taken.clear()
            self.over.wait(self.random.uniform(0, 2))
            self.house.start(*BEATS, *WORKERS)
        connection.close()

    def on_taken(self) -> None:
        if self.random.random() < DIES_AFTER:
            self.taken.set()


@contextmanager
def killing(house: House) -> Iterator[Killer]:
    """Inside, nobody who tells lives for long; afterwards all processes run."""
    assert house.home
    trouble, killer = house.home / "trouble", Killer(house)
    trouble.touch()
    for channel in house.channels:
        channel.refusing, channel.on_taken = REFUSES, killer.on_taken
    killer.start()
    try:
        yield killer
    finally:
        trouble.unlink()
        killer.over.set()
        killer.join()
        for channel in house.channels:
            channel.refusing, channel.on_taken = 0.0, lambda: None
        house.start(*BEATS, *WORKERS)


@pytest.fixture
def house(
    start_beat: Callable[..., CeleryProcess],
    start_worker: Callable[..., CeleryProcess],
    no_other_jobs: None,
    no_other_worker: None,
) -> Iterator[House]:
    """No process runs in it yet."""
    with ExitStack() as stack:
        house = House(start_beat, start_worker)
        house.channels = [stack.enter_context(Channel()) for _ in range(2)]
        yield house


def run(task: Task, name: str, queue: str) -> str:
    """Have a worker run it for the scheduled task of that name; the status with which that ended."""
    celery_id = uuid4().hex
    headers = {"periodic_task_name": name, "celery_beat_task": True}
    arguments = (1, 2) if task is tasks.add else ()
    task.apply_async(arguments, task_id=celery_id, queue=queue, expires=60, headers=headers)
    ended = TaskRun.objects.filter(celery_id=celery_id).exclude(status__in=OPEN).values_list("status")
    (found,) = wait_for(ended.first, timeout=RECOVERS_WITHIN, message=f"the end of a run of {name}")
    return found


def fail(name: str, queue: str) -> None:
    """Three failures in a row; a run that a killed worker held may end otherwise, and does not count."""
    failures = 0
    while failures < FAILS:
        failures += run(tasks.fail, name, queue) in (Status.FAILED, Status.LOST)


def recover(name: str, queue: str) -> None:
    while run(tasks.add, name, queue) != Status.SUCCEEDED:
        pass


def make_watched_task(name: str, queue: str) -> str:
    with transaction.atomic():  # else a beat may meet the task without its state, and make one
        task = make_task(name, task=tasks.fail.name, queue=queue)
        TaskState.objects.create(task_id=task.pk, alert_after=FAILS)
    return name


def all_is_told() -> bool:
    open_ones = Incident.objects.open().filter(kind="failing")
    return not open_ones.exists() and not Notice.objects.filter(due_at__isnull=False).exists()


def needlessly_repeated(channel: Channel, deaths: list[float]) -> list[tuple[Post, Post]]:
    """Messages that came once more although nobody had died since they were sent."""
    by_key: dict[str, list[Post]] = defaultdict(list)
    for post in channel.posts:
        by_key[post.key].append(post)
    return [
        (before, after)
        for posts in by_key.values()
        for before, after in pairwise(posts)
        if before.taken and not any(before.sent_at <= death <= after.arrived_at for death in deaths)
    ]


def test_told_once_to_each_channel_whoever_dies(house: House, tmp_path: Path) -> None:
    house.home = tmp_path
    house.start(*BEATS, *WORKERS)
    names: list[str] = []
    ends_at = time.monotonic() + SECONDS
    with killing(house) as killer:
        for number in count():
            group = [make_watched_task(f"round-{number}-{each}", house.queue) for each in range(AT_ONCE)]
            names += group
            for step in (fail, recover):
                for name in group:
                    step(name, house.queue)
            if time.monotonic() > ends_at:
                break
    wait_for(all_is_told, timeout=RECOVERS_WITHIN, message="all is over and told")
    deaths = house.all_deaths()
    print(f"seed {SEED}: {len(names)} tasks, {killer.kills} kills of {len(deaths)} deaths")
    assert len(names) > AT_ONCE
    assert killer.kills > 0
    assert len(deaths) > 3
    for channel in house.channels:
        told = channel.told()
        for name in names:
            opened, closed = (told.pop((event, name), set()) for event in ("opened", "closed"))
            assert (len(opened), len(closed)) == (1, 1), f"seed {SEED}: {what_was_noted(name)}"
            assert first_taken(channel, *opened) < first_taken(channel, *closed)
        assert not [subject for _event, subject in told if subject.startswith("round")]
        assert needlessly_repeated(channel, deaths) == []
        assert channel.forged == []
    assert set(Notice.objects.values_list("state", flat=True)) == {NoticeState.SENT}


def what_was_noted(name: str) -> str:
    """The incidents of a task with their notices, and its runs, as they are kept."""
    columns = "id", "event", "label", "state", "attempts", "created_at", "sent_at", "error"
    lines = [
        f"{incident.opened_at} to {incident.closed_at}, {incident.closing}, {incident.run_count} runs: "
        f"{[*incident.notices.values_list(*columns)]}"
        for incident in Incident.objects.filter(subject=name)
    ]
    runs = (
        TaskRun.objects.filter(name=name)
        .order_by("id")
        .values_list("id", "status", "queued_at", "finished_at")
    )
    return "\n".join([name, *lines, *map(str, runs)])


def first_taken(channel: Channel, key: str) -> float:
    return next(post.arrived_at for post in channel.posts if post.taken and post.key == key)


def test_a_worker_tells_within_two_minutes_that_beat_is_down(house: House) -> None:
    """With the usual times: one beat is killed, the other stands still. Its return is told too."""
    house.start(*BEATS, "worker1")
    wait_for(lambda: LEADS in "".join(house.processes[name].output() for name in BEATS), message="a leader")
    house.processes["beat1"].pause()
    house.kill("beat2")
    for channel in house.channels:
        # After about 100 seconds, as a rule. Where all cores are busy a look comes late, and takes one more.
        wait_for(lambda: channel.told()["opened", "beat"], timeout=180, message="beat is down")  # noqa: B023
    house.processes["beat1"].signal(signal.SIGCONT)
    for channel in house.channels:
        wait_for(lambda: channel.told()["closed", "beat"], message="beat is back")  # noqa: B023
        assert [len(keys) for keys in channel.told().values()] == [1, 1]
        assert needlessly_repeated(channel, house.deaths) == []


def test_everything_down_and_up_again(house: House, tmp_path: Path) -> None:
    """What one channel had not taken, and every recovery, is told afterwards; nothing else is told again."""
    house.home = tmp_path
    house.start(*BEATS, *WORKERS)
    late, prompt = house.channels
    late.refusing = 1.0
    fail(make_watched_task("purge", house.queue), house.queue)
    wait_for(lambda: prompt.told()["opened", "purge"], message="one channel knows of the failures")
    house.kill(*BEATS)
    wait_for(lambda: prompt.told()["opened", "beat"], message="one channel knows that beat is down")
    wait_for(lambda: len(late.posts) > 1, message="the other has refused that")
    house.kill(*WORKERS)
    late.refusing = 0.0
    house.start(*BEATS, *WORKERS)
    for subject in ("purge", "beat"):
        wait_for(lambda: late.told()["opened", subject], message=f"it hears of {subject}")  # noqa: B023
    recover("purge", house.queue)
    for channel in house.channels:
        for subject in ("purge", "beat"):
            wait_for(lambda: channel.told()["closed", subject], message=f"the end of {subject}")  # noqa: B023
    wait_for(all_is_told, message="all is told")
    for channel in house.channels:
        assert {key: len(keys) for key, keys in channel.told().items() if key[1] in ("purge", "beat")} == {
            (event, subject): 1 for event in ("opened", "closed") for subject in ("purge", "beat")
        }
        assert needlessly_repeated(channel, house.deaths) == []
