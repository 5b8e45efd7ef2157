"""django-crontab: jobs that its own command would write into the crontab."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError

from scheduled_tasks.models import ScheduledTask

from .conftest import Import

FUNCTION = "tests.importers.jobs.report"


def test_jobs_as_django_crontab_reads_them(
    imported: Import, settings: Any, monkeypatch: pytest.MonkeyPatch, calls: list[object]
) -> None:
    settings.CRONJOBS = [
        ("*/5 * * * *", FUNCTION),
        ("0 3 * * *", FUNCTION, ">> /tmp/log"),
        ("0 4 * * *", FUNCTION, ["a", 1], {"really": True}),
        ("0 5 * * *", "tests.tasks.add", [1, 2], {}, ">> /tmp/log"),
    ]
    told = imported("django-crontab", "--timezone", "Europe/Berlin")
    assert [each["result"] for each in told] == ["code", "code", "code", "imported"]
    assert [each["name"] for each in told] == [FUNCTION, f"{FUNCTION} 2", f"{FUNCTION} 3", "tests.tasks.add"]
    assert told[1]["why"] == told[3]["why"] == "Its “>> /tmp/log” for the shell is left out."
    assert ScheduledTask.objects.get().args == "[1, 2]"
    run(told[2]["code"])
    assert calls == [(("a", 1), {"really": True})]
    assert calls == [as_django_crontab(settings.CRONJOBS[2], monkeypatch, calls)]


def run(code: str) -> None:
    module: dict[str, Any] = {"scheduled_task": lambda *args, **kwargs: lambda function: function}
    exec(code, module)
    module["tests_importers_jobs_report_3"]()


def as_django_crontab(job: Any, monkeypatch: pytest.MonkeyPatch, calls: list[object]) -> object:
    """What the job's function is called with by django-crontab itself."""
    crontab = pytest.importorskip("django_crontab.crontab")
    monkeypatch.setattr(crontab.Crontab, "_Crontab__get_job_by_hash", lambda self, _: job)
    crontab.Crontab().run_job("hash")
    return calls.pop()


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (("0 3 * * *", "tests.importers.jobs.gone"), "is no known Celery task and cannot be imported"),
        (("0 3 * * *", "tests.importers.jobs.NOT_A_FUNCTION"), "NOT_A_FUNCTION is no function."),
        (("0 3 * * *",), "it cannot be read (ValueError: not enough values to unpack"),
        (("0 3 13 * 5", FUNCTION), "means either of the two days in cron"),
        ((5, FUNCTION), "its schedule must be text, not 5."),
        (("0 3 * * *", b"x"), "its name must be text, not b'x'."),
        (5, "it cannot be read (TypeError: "),
        (("0 3 * * *", "tests.importers.that_exits.report"), "cannot be imported (0)."),
        (("0 3 * * *", FUNCTION, [object()]), "args cannot be written as JSON"),
    ],
)
def test_jobs_that_are_left_out(imported: Import, settings: Any, job: Any, why: str) -> None:
    settings.CRONJOBS = [job, ("0 3 * * *", "tests.tasks.add")]
    left_out, other = imported("django-crontab")
    assert (left_out["result"], left_out["origin"]) == ("left_out", "CRONJOBS[0]")
    assert why in left_out["why"]
    assert other["result"] == "imported"


def test_without_jobs(imported: Import, settings: Any) -> None:
    with pytest.raises(CommandError, match=r"Nothing was imported: the settings have no CRONJOBS\."):
        imported("django-crontab")
    settings.CRONJOBS = 5
    with pytest.raises(CommandError, match=r"the setting CRONJOBS must be a list or tuple, not 5\."):
        imported("django-crontab")
