"""The page of the next 24 hours: a lane per task, told as well as drawn."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django_celery_beat.models import IntervalSchedule

from scheduled_tasks.models import ProcessKind, TaskState, UtcNow
from tests.factories import make_process, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
TIMELINE = f"{LIST}timeline/"
NASTY = "<script>alert('x')</script>&"


def html(client: Client, query: str = "", **headers: Any) -> str:
    response = client.get(TIMELINE + query, **headers)
    assert response.status_code == 200
    return str(response.content.decode())


def lanes(text: str) -> list[str]:
    return re.findall(r'<tr>\s*<th scope="row".*?</tr>', text, re.DOTALL)


def words(part: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", part)).strip()


AT_TEN = {
    "sqlite": "'2026-06-01 10:20:00'",
    "postgresql": "TIMESTAMPTZ '2026-06-01 10:20:00+00'",
    "mysql": "TIMESTAMP '2026-06-01 10:20:00'",
}
"""A moment as each database writes it."""


@pytest.fixture
def at_ten(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The page is asked for at 10:20 UTC."""
    now = datetime(2026, 6, 1, 10, 20, tzinfo=UTC)
    for vendor, moment in AT_TEN.items():
        monkeypatch.setattr(UtcNow, f"as_{vendor}", lambda *_, sql=moment, **__: (sql, []), raising=False)
    return now


def test_the_list_leads_to_it(admin_client: Client) -> None:
    assert f'href="{TIMELINE}"' in admin_client.get(LIST).content.decode()


def test_a_lane_tells_when_its_task_runs(admin_client: Client, at_ten: datetime) -> None:
    task = make_task("purge & more", "0 3,4,5,6,7,8 * * *", last_run_at=at_ten)
    (lane,) = lanes(html(admin_client))
    assert f'{LIST}?q=purge%20%26%20more#st-row-{task.pk}"' in lane
    told = words(lane)
    assert "purge & more" in told.replace("&amp;", "&")
    assert "in 16 h" in told
    assert re.search(r"05:00, 06:00, 07:00, 08:00, 09:00 and 1 more", told)  # in Paris, the site's zone
    assert lane.count("v16") == 6


def test_a_dense_schedule_is_a_band_with_its_number(admin_client: Client, at_ten: datetime) -> None:
    make_task("minutely", "* * * * *", last_run_at=at_ten)
    (lane,) = lanes(html(admin_client))
    assert lane.count("v16") == 1
    assert ">1,439 runs</text>" in lane
    assert len(lane) < 3000


def test_the_busiest_minute_is_named_with_its_tasks(admin_client: Client, at_ten: datetime) -> None:
    for name in "abcdefg":
        make_task(name, "0 3 * * *", last_run_at=at_ten)
    make_task("alone", "0 4 * * *", last_run_at=at_ten)
    text = html(admin_client)
    assert "busiest minute <b>05:00</b>: <b>7</b> tasks start together" in text
    assert 'title="a, b, c, d, e and 2 more"' in text
    assert "8 runs of 8 tasks" in text
    assert 'class="st-tl-line st-tl-busiest"' in text


def test_nothing_starts_together_when_nothing_does(admin_client: Client, at_ten: datetime) -> None:
    make_task("a", "0 3 * * *", last_run_at=at_ten)
    make_task("b", "0 4 * * *", last_run_at=at_ten)
    assert "busiest" not in html(admin_client)


def test_paused_and_never_running_tasks_are_counted_instead(admin_client: Client) -> None:
    make_task("runs")
    make_task("paused", enabled=False)
    make_task("broken", "0 25 * * *")
    text = html(admin_client)
    assert len(lanes(text)) == 1
    assert "1 paused task" in text
    assert "1 task that never runs" in text


def test_intervals_say_that_they_are_estimates(admin_client: Client, at_ten: datetime) -> None:
    row = IntervalSchedule.objects.create(every=4, period="hours")
    make_task("every", None, interval=row, last_run_at=at_ten)
    text = html(admin_client)
    assert "≈ 5" in lanes(text)[0]
    assert "intervals shift when a run starts late" in text


def test_overdue_and_skipped_runs_say_so(admin_client: Client, at_ten: datetime) -> None:
    late = make_task("late", "0 * * * *")
    hour = timedelta(hours=1)
    TaskState.objects.create(task_id=late.pk, next_run_at=at_ten - hour, accounted_until=at_ten - 2 * hour)
    skips = make_task("skips", last_run_at=at_ten)
    TaskState.objects.create(task_id=skips.pk, skip_next=True)
    first, second = lanes(html(admin_client))
    assert "1 h late" in words(first)
    assert "will be skipped" in words(second)
    assert re.search(r'st-tl-skip" d="M\d+', second)


def test_without_beat_it_says_that_nothing_will_start(admin_client: Client) -> None:
    make_task()
    assert "Beat is not running." in html(admin_client)
    make_process(ProcessKind.BEAT)
    assert "Beat is not running." not in html(admin_client)


def test_no_task_at_all(admin_client: Client) -> None:
    assert "No scheduled tasks yet" in html(admin_client)


def test_a_hundred_a_page_and_a_bounded_number_of_statements(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    for n in range(102):
        make_task(f"task {n:03}")
    with django_assert_max_num_queries(7):
        first = html(admin_client)
    assert len(lanes(first)) == 100
    assert 'href="?p=2"' in first
    assert len(lanes(html(admin_client, "?p=2"))) == 2
    assert "<b>102</b> tasks start together" in first


def test_texts_are_escaped(admin_client: Client) -> None:
    make_task(NASTY)
    make_task(NASTY + "2")
    assert NASTY not in html(admin_client)


@pytest.mark.parametrize(
    ("language", "number"), [("de", "1.439"), ("fr", "1 439"), ("es", "1 439"), ("en", "1,439")]
)
def test_words_and_numbers_by_language(
    admin_client: Client, at_ten: datetime, language: str, number: str
) -> None:
    make_task("minutely", "* * * * *", last_run_at=at_ten)
    text = html(admin_client, HTTP_ACCEPT_LANGUAGE=language)
    assert ("Next 24 hours" in text) is (language == "en")
    assert number in re.sub(r"[\xa0\u202f]", " ", text)
