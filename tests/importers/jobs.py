"""What other schedulers run in these tests: plain functions, and classes of django-cron."""

from __future__ import annotations

calls: list[object] = []

try:
    from django_cron import CronJobBase, Schedule
except ImportError:  # the tests that need it are skipped
    pass
else:

    class Often(CronJobBase):
        schedule = Schedule(run_every_mins=15, retry_after_failure_mins=5)
        code = "often"

        def do(self) -> str:
            calls.append("often")
            return "done"

    class Mornings(CronJobBase):
        schedule = Schedule(run_at_times=["06:30", "14:00", "20:30"], run_on_days=[0, 6])
        code = "mornings"

    class Uneven(CronJobBase):
        schedule = Schedule(run_every_mins=7)
        code = "uneven"


def report(*args: object, **kwargs: object) -> str:
    calls.append((args, kwargs))
    return "reported"


NOT_A_FUNCTION = 7

ENTRIES = {
    "nightly": {"task": "tests.tasks.add", "schedule": 3600.0, "args": (1, 2), "options": {"queue": "slow"}},
    "odd": {"task": "tests.tasks.add", "schedule": "every full moon"},
}
