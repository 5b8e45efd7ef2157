"""Every page writes times in the one format of its language."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import override
from django_celery_beat.models import ClockedSchedule

from scheduled_tasks import moments
from scheduled_tasks.models import Incident, IncidentKind, Status, database_now
from scheduled_tasks.operations import Event
from scheduled_tasks.operations.audit import of_incident
from scheduled_tasks.schedules import current_zone
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
RUNS = "/admin/scheduled_tasks/taskrun/"
INCIDENTS = "/admin/scheduled_tasks/incident/"

CLOCK = re.compile(r"\d:\d\d|\d [ap]\.m\.|\b\d{4}-\d\d-\d\d\b|\d/\d|\b20\d\d\b")
"""What a time or a date has, in whatever format."""

PARTS = re.compile(r"\d\d(?::\d\d)+|\d+|[^\W\d_]+\.?|.")


class Read(HTMLParser):
    """What a person reads of a page: its texts and tooltips."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._tag = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.texts += [value or "" for name, value in attrs if name in ("title", "aria-label")]

    def handle_data(self, data: str) -> None:
        if self._tag not in ("script", "style", "code"):
            self.texts.append(data)


def shape(part: str) -> str:
    """The pattern of a part of a written time: any word, as many digits as a clock or year has."""
    if part[0].isalpha():
        return r"[^\W\d_]+\.?"
    if part.isdigit() and len(part) <= 2:
        return r"\d{1,2}"
    return re.sub(r"\d", r"\\d", re.escape(part))


def formats_of_language() -> re.Pattern[str]:
    """The formats of the active language, the longest first."""
    zone, now = current_zone(), database_now()
    at = now - timedelta(days=400)
    written = [
        moments.exact(at, zone),
        moments.exact(at, ZoneInfo("UTC")),
        moments.short(at, zone),
        moments.compact(at, zone),
        moments.clock_of_day(at, now, zone),
        moments.minute_of_day(at, now, zone),
        moments.clock_of_day(now - timedelta(days=9), now, zone),
        moments.minute_of_day(now - timedelta(days=9), now, zone),
        moments.clock(at, zone),
        moments.minute_of_day(now, now, zone),
    ]
    return re.compile("|".join("".join(map(shape, PARTS.findall(each))) for each in written))


@pytest.fixture
def pages(admin_client: Client, admin_user: User) -> list[str]:
    """Addresses of all pages, each with times of today, of past days and of another year."""
    make_process()
    task = make_task(cron="15 * * * *")
    once = ClockedSchedule.objects.create(clocked_time=database_now() + timedelta(days=40))
    make_task("once", cron=None, clocked=once, one_off=True)
    for ago in (60, 5 * 86_400, 400 * 86_400):
        make_run(task, Status.FAILED, ago=ago, error="no", error_type="ValueError")
    run = make_run(task)
    now = database_now()
    values = {"opened_at": now - timedelta(days=2), "last_seen_at": now, "first_run": run, "last_run": run}
    incident = Incident.objects.create(
        kind=IncidentKind.FAILING,
        key="a",
        open_key="a",
        task_id=task.pk,
        muted_until=now + timedelta(hours=30),
        **values,
    )
    muted = of_incident(Event.MUTED, incident, ["muted until"], until=incident.muted_until.isoformat())
    for changed in (task, incident):
        LogEntry.objects.create(
            user=admin_user,
            content_type=get_content_type_for_model(changed),
            object_id=changed.pk,
            action_flag=CHANGE,
            change_message=json.dumps(muted.change_message),
        )
    return [
        LIST,
        f"{LIST}{task.pk}/change/",
        f"{LIST}{task.pk}/history/",
        f"{LIST}timeline/",
        RUNS,
        f"{RUNS}{run.pk}/change/",
        INCIDENTS,
        f"{INCIDENTS}{incident.pk}/change/",
        f"{INCIDENTS}{incident.pk}/history/",
    ]


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_all_pages_write_times_alike(admin_client: Client, pages: list[str], language: str) -> None:
    with override(language):
        allowed = formats_of_language()
    found = 0
    for address in pages:
        html = admin_client.get(address, headers={"Accept-Language": language}).content.decode()
        for text in Read(html).texts:
            found += len(CLOCK.findall(text))
            assert not CLOCK.search(allowed.sub("", text)), (address, text)
    assert found > 50


@pytest.mark.parametrize(
    ("begin", "end", "told"),
    [
        ((1, 9), (1, 10), "09:00 – 10:00"),
        ((1, 9), (1, 9), "09:00"),
        ((1, 23), (2, 1), "23:00 – 2 Nov, 01:00"),
        ((2, 9), (2, 10), "2 Nov, 09:00 – 10:00"),
        ((2, 9), (2, 9), "2 Nov, 09:00"),
        ((2, 9), (1, 9), "2 Nov, 09:00 – 1 Nov, 09:00"),
    ],
)
def test_a_span_names_a_day_once(begin: tuple[int, int], end: tuple[int, int], told: str) -> None:
    first, last, now = (datetime(2026, 11, *each, tzinfo=UTC) for each in (begin, end, (1, 12)))
    year = database_now().year
    expected = told if year == 2026 else told.replace(" Nov", " Nov 2026")
    with override("en"):
        assert moments.minutes(first, last, now, ZoneInfo("UTC")) == expected
