"""Measure, and say what meets its goal: ``python -m tests.benchmarks NAME… [--json]``.

Without a name everything is measured. The exit status is 1 when a goal is missed. Needs
``pip install -e ".[bench]"``. Ratios hold on a busy machine, wall times do not; the load average is printed
with the figures.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from .bench import NAMES, Options, say
from .figures import Figure, exit_status, report

BENCHMARKS = ("recording", "beat", "pages", "retention")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--db", action="append", choices=list(NAMES), help="only this database")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of everything, for a quick look")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    options = Options(databases=given.db or list(NAMES), rounds=given.rounds, scale=given.scale)
    figures: list[Figure] = []
    for name in given.names or BENCHMARKS:
        say(f"== {name}")
        figures += importlib.import_module(f"tests.benchmarks.{name}").run(options)
    print(report(figures, as_json=given.json))
    return exit_status(figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
