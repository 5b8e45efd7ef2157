"""Looks at the list of one database: ``[TASKS RUNS_PER_TASK]`` are made first.

Each line of the input asks for one look, and the milliseconds of its statements are printed: ``same`` is a
look at a list that is as this process has answered it before, ``moved`` one of which some tasks have run
since, ``unknown`` one with nothing in memory.
"""

from __future__ import annotations

import sys
import time

import django


def main(*made: str) -> None:
    django.setup()
    from scheduled_tasks.admin import rendered, seen
    from scheduled_tasks.stamps import SETTLES
    from tests.benchmarks import bulk
    from tests.benchmarks.pages_rounds import LIST, Browser, Visitor

    if made:
        tasks, per_task = map(int, made)
        bulk.make_runs(bulk.make_tasks(tasks), per_task=per_task)
        bulk.tidy()
    visitor = Visitor()
    browser = Browser(visitor)
    time.sleep(SETTLES)  # nobody has edited a task just now
    for line in sys.stdin:
        match line.strip():
            case "moved":
                browser.end_runs()
            case "unknown":
                rendered.memory.clear()
                seen.memory.clear()
        print(visitor.visit(LIST).sql, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
