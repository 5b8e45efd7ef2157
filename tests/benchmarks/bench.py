"""What the benchmarks share: throw-away servers, measured processes, medians of interleaved rounds."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests import embedded

ROOT = Path(__file__).parent.parent.parent
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for: databases, rounds and how much in each (a factor)."""

    databases: Sequence[str]
    rounds: int
    scale: float

    def many(self, count: int) -> int:
        """``count``, more or less of it as the command line asks."""
        return max(1, int(count * self.scale))


@dataclass(frozen=True)
class Site:
    """A directory with a database of one kind and a broker, gone after the benchmark."""

    kind: str
    home: Path
    database_url: str
    broker_url: str

    @property
    def name(self) -> str:
        return NAMES[self.kind]

    def env(self, mode: str, **more: str) -> dict[str, str]:
        """The environment of a process with ``mode``'s apps."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.benchmarks.settings",
            "BENCH_MODE": mode,
            "DATABASE_URL": self.database_url,
            "CELERY_BROKER_URL": self.broker_url,
            **more,
        }

    def python(self, module: str, *arguments: str, mode: str) -> str:
        """What ``python -m module arguments`` prints."""
        command = [sys.executable, "-m", module, *arguments]
        env = self.env(mode)
        return subprocess.run(
            command, env=env, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def measure(self, module: str, *arguments: str, mode: str) -> dict[str, float]:
        """The numbers that a measuring process prints as its last line, in JSON."""
        found: dict[str, float] = json.loads(self.python(module, *arguments, mode=mode).splitlines()[-1])
        return found

    def migrate(self) -> None:
        self.python("django", "migrate", "-v", "0", mode="all")


@contextmanager
def site(kind: str) -> Iterator[Site]:
    """A fresh :class:`Site` with all tables; PostgreSQL and the broker come from wheels."""
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="scheduled-tasks-bench-"))
        home = Path(directory)
        home.chmod(0o711)
        valkey, broker_url = embedded.start_valkey(home)
        stack.callback(valkey.stop)
        database_url = f"sqlite:///{home}/bench.sqlite3"
        if kind == "postgres":
            server, database_url = embedded.start_postgres(home, "postgres")
            stack.callback(server.stop)
        made = Site(kind, home, database_url, broker_url)
        made.migrate()
        yield made


def cpu_ms(pid: int) -> float:
    """Processor time that a process and its children have used, in milliseconds.

    By the processes' own clocks: the ticks of ``/proc`` are as long as ten tasks.
    """
    children = psutil.Process(pid).children(recursive=True)
    return (
        sum(time.clock_gettime(_cpu_clock(each)) for each in (pid, *(child.pid for child in children))) * 1000
    )


def _cpu_clock(pid: int) -> int:
    """The clock that ``clock_getcpuclockid(3)`` gives on Linux, where Python has it for threads only."""
    return (~pid << 3) | 2


Rounds = list[dict[str, dict[str, float]]]
"""Per round and mode what was measured."""


def interleaved(modes: Sequence[str], rounds: int, measure: Callable[[str], dict[str, float]]) -> Rounds:
    """Measure every mode once per round, each round in another order."""
    found: Rounds = []
    for number in range(rounds):
        turn = number % len(modes)
        found.append({mode: measure(mode) for mode in (*modes[turn:], *modes[:turn])})
        say(f"round {number + 1} of {rounds}")
    return found


def median(rounds: Rounds, value: Callable[[dict[str, dict[str, float]]], float]) -> float:
    """The median over the rounds of what ``value`` makes of one."""
    return statistics.median(map(value, rounds))


def say(text: str) -> None:
    """Progress goes to standard error."""
    print(text, file=sys.stderr, flush=True)
