"""Two beats as two hosts: each in a network namespace of its own, with a cable to the database and one to the
broker. One is cut off from the database, as a host is whose packets are dropped: nobody refuses anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from django_celery_beat.models import PeriodicTask

from scheduled_tasks.models import TaskRun
from tests.chaos.proxy import Proxy
from tests.guard import Guarded
from tests.live import Beat, Worker, wait_for

from .test_beat import LEADS, PERIOD, TAKEOVER, every_second, no_other_jobs, succeeded
from .test_beat_outages import accounted_to_the_last

__all__ = ["every_second", "no_other_jobs"]

pytestmark = [
    pytest.mark.skipif(
        "sqlite" in os.environ.get("DATABASE_URL", ""), reason="SQLite is a file, no network leads to it"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces"),
    pytest.mark.skipif(
        not (shutil.which("ip") and shutil.which("unshare") and shutil.which("nsenter")),
        reason="needs ip (package iproute2), unshare and nsenter (package util-linux)",
    ),
]

SERVERS = ("DATABASE_URL", "CELERY_BROKER_URL")
SENT = re.compile(r"Sent (.+) for (.+)$", re.MULTILINE)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Host:
    """A network namespace with a cable to each server; it is gone when its one process has ended.

    Addresses and device names are this test run's own, as other runs may share the machine's network.
    """

    def __init__(self, number: int, stack: ExitStack, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        command = ["unshare", "-n", "sleep", "infinity"]
        self.process = Guarded(command, log=logs / f"host{number}.log", grace=1)
        stack.callback(self.process.stop)
        self.within = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"]
        wait_for(self._has_network_of_its_own, message="the host's namespace")
        self.env = {}
        for cable, variable in enumerate(SERVERS):
            near, far = self._addresses(2 * number + cable)
            self._lay(cable, near, far)
            door = stack.enter_context(Proxy(os.environ[variable], address=near))
            self.env[variable] = door.url

    def _has_network_of_its_own(self) -> bool:
        ours, its = (os.readlink(f"/proc/{pid}/ns/net") for pid in ("self", self.process.pid))
        return ours != its

    def _addresses(self, cable: int) -> tuple[str, str]:
        run = os.getpid()
        network = f"10.{200 + run % 50}.{run // 50 % 250}"
        return f"{network}.{4 * cable + 1}", f"{network}.{4 * cable + 2}"

    def _device(self, cable: int) -> str:
        return f"host{self.process.pid}{'db'[cable]}"

    def _lay(self, cable: int, near: str, far: str) -> None:
        device, inside = self._device(cable), f"eth{cable}"
        ip("link", "add", device, "type", "veth", "peer", "name", inside, "netns", str(self.process.pid))
        ip("address", "add", f"{near}/30", "dev", device)
        ip("link", "set", device, "up")
        for command in (["address", "add", f"{far}/30", "dev", inside], ["link", "set", inside, "up"]):
            subprocess.run([*self.within, "ip", *command], check=True, capture_output=True)

    def cut_off_from_database(self) -> None:
        """From here on what either side sends is lost."""
        ip("link", "set", self._device(0), "down")

    def reconnect(self) -> None:
        ip("link", "set", self._device(0), "up")


@pytest.fixture
def hosts(logs: Path) -> Iterator[list[Host]]:
    with ExitStack() as stack:
        yield [Host(number, stack, logs) for number in range(2)]


def sent(beat: Beat) -> list[tuple[str, str]]:
    """Task and tick of every message that the beat says it has sent."""
    return SENT.findall(beat.output())


def test_host_cut_off_from_the_database(
    hosts: list[Host], start_beat: Callable[..., Beat], every_second: PeriodicTask, worker: Worker
) -> None:
    beats = []
    for host in hosts:
        beats.append(start_beat(env=host.env, within=host.within))
        beats[-1].wait_for_log("stands by" if len(beats) == 2 else LEADS)
    first, second = beats
    wait_for(lambda: succeeded(every_second, 3), message="runs of the first")

    hosts[0].cut_off_from_database()
    wait_for(lambda: sent(second), timeout=TAKEOVER + PERIOD, message="the first run that the second sends")
    before = sent(first)
    newest = TaskRun.objects.latest("id").pk
    wait_for(lambda: TaskRun.objects.filter(id__gt=newest).count() > 3, message="runs of the second")
    first.wait_for_log("Beat waits for the database", timeout=120)
    assert first.running

    hosts[0].reconnect()
    first.wait_for_log("this one stands by", timeout=120)
    count = len(sent(second))
    wait_for(lambda: len(sent(second)) > count + 2, message="more runs of the second")
    assert sent(first) == before
    second.stop()
    wait_for(lambda: first.output().count(LEADS) == 2, timeout=120, message="the first to lead again")
    first.stop()
    assert max(Counter(sent(first) + sent(second)).values()) == 1
    assert accounted_to_the_last(every_second)
