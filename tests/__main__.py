"""Make ready what is missing, then run the tests: ``python -m tests [pytest arguments]``.

Without arguments everything runs on SQLite and, at the same time, what uses the database (but for the
browser) on PostgreSQL. With arguments pytest runs once, with these:
``python -m tests --db=postgres tests/integration``.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from typing import IO

from tests import browser

ON_SQLITE = ["--db=sqlite"]
ON_POSTGRES = ["--db=postgres", "--only-db", "-m", "not e2e"]


def main(arguments: list[str]) -> int:
    browser.make_ready()
    if not arguments:
        return everything()
    with start(arguments) as only:
        return only.wait()


def everything() -> int:
    """Both runs at once, because they mostly wait. What the one on PostgreSQL says is told at the end."""
    with tempfile.TemporaryFile("w+") as said:
        with start(ON_POSTGRES, said) as second, start(ON_SQLITE) as first:
            failed = [first.wait(), second.wait()] != [0, 0]
        said.seek(0)
        shutil.copyfileobj(said, sys.stdout)
    return int(failed)


def start(options: list[str], output: IO[str] | None = None) -> subprocess.Popen[bytes]:
    print(f"\n== pytest {shlex.join(options)}", file=output, flush=True)
    return subprocess.Popen([sys.executable, "-m", "pytest", *options], stdout=output, stderr=output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
