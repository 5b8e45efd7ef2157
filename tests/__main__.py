"""Make ready what is missing, then run the tests: ``python -m tests [pytest arguments]``.

Without arguments everything runs on SQLite, and what uses the database (but for the browser) once more on
PostgreSQL. With arguments pytest runs once, with these: ``python -m tests --db=postgres tests/integration``.
"""

from __future__ import annotations

import shlex
import subprocess
import sys

from tests import browser

RUNS = [["--db=sqlite"], ["--db=postgres", "--only-db", "-m", "not e2e"]]


def main(arguments: list[str]) -> int:
    browser.make_ready()
    return max(run(options) for options in ([arguments] if arguments else RUNS))


def run(options: list[str]) -> int:
    print(f"\n== pytest {shlex.join(options)}", flush=True)
    return subprocess.run([sys.executable, "-m", "pytest", *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
