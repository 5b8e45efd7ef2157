"""Prepare what is missing, then run the tests: ``python -m tests [pytest arguments]``.

Without arguments everything runs on SQLite, and what uses the database once more on PostgreSQL. With
arguments pytest runs once, with these: ``python -m tests --db=postgres tests/integration``.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from tests import browser
from tests.plugin import RESULTS

UNIT = ["--ignore=tests/e2e", "--ignore=tests/integration", "--ignore=tests/chaos"]
SQLITE, POSTGRES = "--db=sqlite", "--db=postgres"

QUEUES: list[dict[str, list[str]]] = [
    {
        "sqlite": [SQLITE, *UNIT],
        "sqlite-integration": [SQLITE, "tests/integration"],
    },
    {
        "browser": [SQLITE, "tests/e2e"],
        "postgres-integration": [POSTGRES, "--only-db", "tests/integration"],
    },
    {
        "sqlite-chaos": [SQLITE, "tests/chaos"],
        "postgres": [POSTGRES, "--only-db", "-m", "not slow", *UNIT],
    },
    {"postgres-chaos": [POSTGRES, "--only-db", "tests/chaos"]},
]
"""The parts of the suite by name, in queues that run side by side, each its parts one after the other.

Two parts at a time keep a core busy. The others mostly wait for processes and servers.
"""

printing = Lock()


def main(arguments: list[str]) -> int:
    browser.make_ready()
    if arguments:
        return subprocess.call(pytest(arguments))
    with ThreadPoolExecutor(len(QUEUES)) as pool:
        return max(pool.map(run_queue, QUEUES))


def run_queue(queue: dict[str, list[str]]) -> int:
    return max(run_part(name, options) for name, options in queue.items())


def run_part(name: str, options: list[str]) -> int:
    """Run one part with a directory for its logs, and print its output when it ends."""
    began = time.monotonic()
    ended = subprocess.run(
        pytest(options),
        env={**os.environ, "TEST_RESULTS": str(RESULTS / name)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    with printing:
        print(f"\n== {name}: pytest {shlex.join(options)}\n{ended.stdout}")
        print(f"== {name} took {time.monotonic() - began:.0f} s", flush=True)
    return abs(ended.returncode)


def pytest(options: list[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *options]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
