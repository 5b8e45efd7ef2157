"""django-cron: classes with its own ``Schedule``."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError

from scheduled_tasks.models import ScheduledTask

from .conftest import Import

pytest.importorskip("django_cron")
JOBS = "tests.importers.jobs"


def test_an_interval(imported: Import, settings: Any, calls: list[object]) -> None:
    settings.CRON_CLASSES = [f"{JOBS}.Often"]
    (told,) = imported("django-cron")
    assert (told["result"], told["schedule"]) == ("code", "*/15 * * * *")
    assert told["why"] == "Its retry after a failure is left out: give the task autoretry_for."
    module: dict[str, Any] = {"scheduled_task": lambda *args, **kwargs: lambda function: function}
    exec(told["code"], module)
    assert module["tests_importers_jobs_often"]() == "done"
    assert calls == ["often"]
    assert not ScheduledTask.objects.exists()


def test_times_of_some_days(imported: Import, settings: Any) -> None:
    settings.CRON_CLASSES = [f"{JOBS}.Mornings"]
    settings.TIME_ZONE = "Europe/Berlin"
    told = imported("django-cron")
    assert [each["schedule"] for each in told] == ["0 14 * * 0,1", "30 6,20 * * 0,1"]
    assert {each["timezone"] for each in told} == {"Europe/Berlin"}


def test_what_is_left_out(imported: Import, settings: Any) -> None:
    settings.CRON_CLASSES = [f"{JOBS}.Uneven", f"{JOBS}.Gone", "tests.importers.that_exits.Job", b"x"]
    uneven, gone, exits, odd = imported("django-cron")
    assert (
        uneven["why"] == "no cron expression says “every 7 minutes”; make it a @shared_task and import again."
    )
    assert gone["why"].startswith("it cannot be read (ImportError: ")
    assert exits["why"] == "it cannot be read (SystemExit: 0)."
    assert odd["why"].startswith("it cannot be read (TypeError: ")


def test_a_setting_that_is_no_list(imported: Import, settings: Any) -> None:
    settings.CRON_CLASSES = f"{JOBS}.Often"
    with pytest.raises(CommandError, match=r"the setting CRON_CLASSES must be a list or tuple, not 'tests"):
        imported("django-cron")
