"""Make ready what is missing, then run the tests: ``python -m tests [pytest arguments]``.

Without arguments everything runs on SQLite and, at the same time, what uses the database (but for the
browser) on PostgreSQL; on both the tests in which servers are away run beside the others. With arguments
pytest runs once, with these: ``python -m tests --db=postgres tests/integration``.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from tests import browser
from tests.plugin import RESULTS

PARTS = {
    "sqlite": ["--db=sqlite", "--ignore=tests/chaos"],
    "sqlite-chaos": ["--db=sqlite", "tests/chaos"],
    "postgres": ["--db=postgres", "--only-db", "-m", "not e2e", "--ignore=tests/chaos"],
    "postgres-chaos": ["--db=postgres", "--only-db", "tests/chaos"],
}
"""Everything, by the name of the directory for its results: runs of about the same length."""


def main(arguments: list[str]) -> int:
    browser.make_ready()
    if not arguments:
        return everything()
    with start(arguments) as only:
        return only.wait()


def everything() -> int:
    """All parts at once, because they mostly wait. What all but the first say is told at the end."""
    with ExitStack() as stack:
        said = {name: stack.enter_context(tempfile.TemporaryFile("w+")) for name in [*PARTS][1:]}
        running = [
            stack.enter_context(start(options, said.get(name), RESULTS / name))
            for name, options in PARTS.items()
        ]
        failed = [part.wait() != 0 for part in running]
        for output in said.values():
            output.seek(0)
            shutil.copyfileobj(output, sys.stdout)
    return int(any(failed))


def start(
    options: list[str], output: IO[str] | None = None, results: Path = RESULTS
) -> subprocess.Popen[bytes]:
    """Run pytest with ``options``, and keep its logs in ``results``."""
    print(f"\n== pytest {shlex.join(options)}", file=output, flush=True)
    environment = {**os.environ, "TEST_RESULTS": str(results)}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options], stdout=output, stderr=output, env=environment
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
