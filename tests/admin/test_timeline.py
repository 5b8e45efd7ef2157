"""The timeline: a lane per task with its runs before and after now, told as well as drawn."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import IntervalSchedule

from scheduled_tasks.models import ProcessKind, Status, TaskState, UtcNow
from tests.benchmarks import bulk
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
TIMELINE = f"{LIST}timeline/"
NASTY = "<script>alert('x')</script>&"


def html(client: Client, query: str = "", **headers: Any) -> str:
    response = client.get(TIMELINE + query, **headers)
    assert response.status_code == 200
    return str(response.content.decode())


def lanes(text: str) -> list[str]:
    return re.findall(r'<tr id="st-lane-.*?</tr>', text, re.DOTALL)


def names(text: str) -> list[str]:
    return re.findall(r"data-st-drawer>([^<]+)</a>", "".join(lanes(text)))


def words(part: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", part)).strip()


def marks(lane: str) -> list[str]:
    """What each mark of a lane says."""
    return [unescape(title) for title in re.findall(r"<title>(.*?)</title>", lane)]


def places(lane: str, css: str) -> list[int]:
    """Where the marks of a colour begin, in units."""
    groups = re.findall(rf'<g class="{css}(?: st-tl-many)?">(.*?)</g>', lane)
    return sorted(int(at) for group in groups for at in re.findall(r'd="M(\d+) ', group))


def near(*units: int) -> Any:
    """These places: the window begins in whole steps, so now is a unit more or less from its middle."""
    return pytest.approx([*units], abs=1)


AT_TEN = {
    "sqlite": "'2026-06-01 10:20:00'",
    "postgresql": "TIMESTAMPTZ '2026-06-01 10:20:00+00'",
    "mysql": "TIMESTAMP '2026-06-01 10:20:00'",
}
"""A moment as each database writes it."""


@pytest.fixture
def at_ten(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The page is asked for at 10:20 UTC, 12:20 in Paris, the site's zone."""
    now = datetime(2026, 6, 1, 10, 20, tzinfo=UTC)
    for vendor, moment in AT_TEN.items():
        monkeypatch.setattr(UtcNow, f"as_{vendor}", lambda *_, sql=moment, **__: (sql, []), raising=False)
    return now


def run_at(task: Any, at: datetime, status: Status = Status.SUCCEEDED, took: float = 1, **values: Any) -> Any:
    ended = None if status == Status.RUNNING else at + timedelta(seconds=took)
    times = {"queued_at": at, "started_at": at, "finished_at": ended}
    return make_run(task, status, **{**times, **values})


def test_the_list_leads_to_it_with_its_filters(admin_client: Client) -> None:
    make_task()
    plain = admin_client.get(LIST).content.decode()
    assert re.search(rf'href="{TIMELINE}\??"', plain)  # Django 6.0 ends an empty query with "?"
    linked = admin_client.get(f"{LIST}?q=pur&o=1").content.decode()
    assert f'href="{TIMELINE}?q=pur"' in linked


def test_a_lane_tells_what_is_planned(admin_client: Client, at_ten: datetime) -> None:
    task = make_task("purge & more", "0 3,4,5,6,7,8 * * *", last_run_at=at_ten)
    (lane,) = lanes(html(admin_client))
    assert f'href="../{task.pk}/change/"' in lane
    told = words(lane).replace("&amp;", "&")
    assert "purge & more" in told
    assert "in 16 h" in told
    assert "No run before now. Planned: 2 Jun, 05:00, 2 Jun, 06:00" in told
    assert "and 1 more." in told
    assert marks(lane)[0] == "2 Jun, 05:00:00 · Planned"


def test_a_lane_of_many_runs_names_no_time_that_is_not_the_next(
    admin_client: Client, at_ten: datetime
) -> None:
    make_task("often", "* * * * *", last_run_at=at_ten)
    (lane,) = lanes(html(admin_client))
    assert "Planned: 12:21, 12:22 and 1,438 more." in words(lane)


@pytest.mark.parametrize(("query", "skipped"), [("", ["13:00:00"]), ("?day=2026-06-03", [])])
def test_only_the_next_run_is_left_out(
    admin_client: Client, at_ten: datetime, query: str, skipped: list[str]
) -> None:
    task = make_task("hourly", "0 * * * *", last_run_at=at_ten)
    TaskState.objects.create(task_id=task.pk, skip_next=True)
    (lane,) = lanes(html(admin_client, query))
    assert [mark for mark in marks(lane) if "skipped" in mark] == [
        f"{at} · will be skipped" for at in skipped
    ]


def test_left_of_now_stands_what_ran_and_right_what_will(admin_client: Client, at_ten: datetime) -> None:
    task = make_task("hourly", "0 * * * *", last_run_at=at_ten)
    hour = timedelta(hours=1)
    for n in (6, 5, 4):
        run_at(task, at_ten - n * hour, took=120)
    failed = run_at(task, at_ten - 3 * hour, Status.FAILED, took=600)
    for n in (2, 1):
        run_at(task, at_ten - n * hour, took=120)
    (lane,) = lanes(html(admin_client))
    assert places(lane, "b-ok") == near(450, 475, 500, 550, 575)  # 25 units an hour, now at 600
    assert places(lane, "b-bad") == near(525)
    coming = places(lane, "st-tl-plan")
    assert len(coming) == 24
    assert min(coming) == pytest.approx(617, abs=1)
    assert "09:20:00 · Failed · 10 m 0 s" in marks(lane)
    assert "13:00:00 · Planned · usually 2 m 0 s" in marks(lane)
    assert f'href="../{task.pk}/change/?run={failed.pk}"' in lane
    assert "Ran: 5 Success, 1 Failed." in words(lane)
    assert re.search(r'd="M(52\d) 4h4v15h-4zM\1 21v3"', lane)  # ten minutes long, with a problem's foot


def test_a_run_under_way_reaches_to_now(admin_client: Client, at_ten: datetime) -> None:
    run_at(make_task(), at_ten - timedelta(hours=2), Status.RUNNING, open_since=at_ten)
    text = html(admin_client)
    assert re.search(r'd="M5\d\d 4h(49|50|51)v15h-\1z"', lanes(text)[0])
    assert "data-open" in text


@pytest.mark.parametrize(
    ("status", "css"),
    [
        (Status.MISSED, "b-warn"),
        (Status.SKIPPED, "b-skip"),
        (Status.LOST, "b-lost"),
        (Status.CANCELLED, "b-skip"),
        (Status.EXPIRED, "b-warn"),
        ("from another version", "b-skip"),
    ],
)
def test_what_did_not_run_stands_there_too(
    admin_client: Client, at_ten: datetime, status: Any, css: str
) -> None:
    due = at_ten - timedelta(hours=4)
    run_at(make_task(), at_ten, status[:9], started_at=None, scheduled_for=due)
    assert places(lanes(html(admin_client))[0], css) == near(500)


def test_dense_runs_are_a_band_with_their_number_and_failures_lie_on_it(
    admin_client: Client, at_ten: datetime
) -> None:
    task = make_task("minutely", "* * * * *", last_run_at=at_ten)
    for minute in range(300, 0, -1):
        failed = minute == 150
        run_at(task, at_ten - timedelta(minutes=minute), Status.FAILED if failed else Status.SUCCEEDED)
    (lane,) = lanes(html(admin_client))
    assert re.search(r">1,44\d runs</text>", lane)
    assert "299 × Success" in next(mark for mark in marks(lane) if "×" in mark and "Success" in mark)
    assert len(places(lane, "b-bad")) == 1
    assert lane.index("st-tl-many") < lane.index('<g class="b-bad">')
    assert "change/?from=2026-06-01&amp;to=2026-06-01" in lane
    assert len(lane) < 3000


@pytest.mark.parametrize(("window", "units"), [("1h", 300), ("6h", 50), ("24h", 13), ("7d", 2), ("x", 13)])
def test_windows(admin_client: Client, at_ten: datetime, window: str, units: int) -> None:
    run_at(make_task(), at_ten - timedelta(minutes=30))
    (lane,) = lanes(html(admin_client, f"?window={window}"))
    assert abs(600 - places(lane, "b-ok")[0] - units) <= 2


def test_the_hours_of_a_day_as_chosen(admin_client: Client, at_ten: datetime) -> None:
    task = make_task(last_run_at=at_ten)
    run_at(task, datetime(2026, 5, 20, 1, 0, tzinfo=UTC))  # 03:00 in Paris
    run_at(task, datetime(2026, 5, 20, 3, 0, tzinfo=UTC))
    text = html(admin_client, "?day=2026-05-20&start=02:00&stop=04:00")
    (lane,) = lanes(text)
    assert places(lane, "b-ok") == [600]
    assert places(lane, "st-tl-plan") == []
    assert "st-tl-is-now" not in text
    assert 'value="2026-05-20"' in text
    coming = lanes(html(admin_client, "?day=2026-12-01&start=02:00&stop=06:00"))[0]
    assert places(coming, "st-tl-plan") == [600]  # 03:00 UTC is 04:00 in winter


@pytest.mark.parametrize("query", ["day=x", "day=0001-01-01", "day=2026-06-01&start=25:00", "day=9999-12-31"])
def test_hours_that_cannot_be_read_show_the_usual_window(
    admin_client: Client, at_ten: datetime, query: str
) -> None:
    make_task()
    assert "st-tl-is-now" in html(admin_client, f"?{query}")


def test_lanes_by_next_run_failing_first_or_name(admin_client: Client, at_ten: datetime) -> None:
    bad = make_task("c", "0 5 * * *", last_run_at=at_ten)
    make_task("b", "0 3 * * *", last_run_at=at_ten)
    make_task("a", "0 4 * * *", last_run_at=at_ten)
    make_task("paused", "0 1 * * *", enabled=False)
    run_at(bad, at_ten - timedelta(hours=1), Status.FAILED)
    assert names(html(admin_client)) == ["b", "a", "c", "paused"]
    assert names(html(admin_client, "?sort=failing"))[0] == "c"
    assert names(html(admin_client, "?sort=name")) == ["a", "b", "c", "paused"]


def test_the_lists_search_and_filters_apply(admin_client: Client) -> None:
    make_task("purge")
    make_task("other", enabled=False)
    assert names(html(admin_client, "?q=pur")) == ["purge"]
    assert names(html(admin_client, "?state=paused")) == ["other"]
    assert "No task matches." in html(admin_client, "?q=none")
    kept = html(admin_client, "?state=paused&window=6h")
    assert 'name="state" value="paused"' in kept
    assert "?state=paused&amp;sort=name&amp;window=6h" in kept


def test_the_busiest_time_is_named_with_its_tasks(admin_client: Client, at_ten: datetime) -> None:
    for name in "abcdefg":
        make_task(name, "0 3 * * *", last_run_at=at_ten)
    make_task("alone", "0 4 * * *", last_run_at=at_ten)
    text = html(admin_client)
    found = re.search(r"busiest <b>2 Jun, (\S+) – (\S+)</b>: <b>7</b> tasks", text)
    assert found
    assert found[1] <= "05:00" <= found[2]
    assert 'title="a, b, c, d, e and 2 more"' in text
    assert "0 runs · 8 planned" in words(text)


def test_nothing_is_busiest_when_no_two_run_together(admin_client: Client, at_ten: datetime) -> None:
    make_task("a", "0 3 * * *", last_run_at=at_ten)
    make_task("b", "0 4 * * *", last_run_at=at_ten)
    assert "busiest" not in html(admin_client)


def test_intervals_say_that_they_are_estimates(admin_client: Client, at_ten: datetime) -> None:
    row = IntervalSchedule.objects.create(every=4, period="hours")
    make_task("every", None, interval=row, last_run_at=at_ten)
    text = html(admin_client)
    assert marks(lanes(text)[0])[0].startswith("≈ ")
    assert "≈ estimated from the next run" in text


def test_overdue_and_skipped_runs_say_so(admin_client: Client, at_ten: datetime) -> None:
    late = make_task("late", "0 * * * *")
    hour = timedelta(hours=1)
    TaskState.objects.create(task_id=late.pk, next_run_at=at_ten - hour, accounted_until=at_ten - 2 * hour)
    skips = make_task("skips", last_run_at=at_ten)
    TaskState.objects.create(task_id=skips.pk, skip_next=True)
    first, second = lanes(html(admin_client))
    assert "due 1 h ago" in words(first)
    assert places(first, "st-tl-plan")[0] == pytest.approx(600, abs=1)
    assert "will be skipped" in words(second)
    assert len(places(second, "st-tl-left")) == 1


def test_what_will_not_run_has_no_plan(admin_client: Client) -> None:
    make_task("paused", "* * * * *", enabled=False)
    make_task("broken", "0 25 * * *")
    make_task("unknown", "* * * * *", task="tests.gone")
    make_process(task_names=["tests.add"])
    found = lanes(html(admin_client))
    assert len(found) == 3
    assert not any("st-tl-plan" in lane for lane in found)


def test_without_beat_it_says_that_nothing_will_start(admin_client: Client) -> None:
    make_task()
    assert "Beat is not running." in html(admin_client)
    make_process(ProcessKind.BEAT)
    assert "Beat is not running." not in html(admin_client)


def test_no_task_at_all(admin_client: Client) -> None:
    assert "No scheduled tasks yet" in html(admin_client)


def test_a_refresh_is_empty_until_something_changes(admin_client: Client, at_ten: datetime) -> None:
    task = make_task()
    (version,) = re.findall(r'data-version="([^"]+)"', html(admin_client))
    ask = {"headers": {"ST-Request": "1", "If-None-Match": unescape(version)}}
    with CaptureQueriesContext(connection) as captured:
        assert admin_client.get(TIMELINE, **ask).status_code == 304  # type: ignore[arg-type]
    assert len(captured) <= 7
    run_at(task, at_ten - timedelta(hours=1))
    changed = admin_client.get(TIMELINE, **ask)  # type: ignore[arg-type]
    assert changed.status_code == 200
    assert "<html" not in changed.content.decode()
    assert places(lanes(changed.content.decode())[0], "b-ok") == near(575)


def test_fifty_a_page_in_a_bounded_number_of_statements(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    for n in range(52):
        make_task(f"task {n:03}")
    with django_assert_max_num_queries(16):
        first = html(admin_client)
    assert len(lanes(first)) == 50
    assert 'href="?p=2"' in first
    assert len(lanes(html(admin_client, "?p=2"))) == 2


def test_a_week_of_a_thousand_busy_tasks_stays_small(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    if connection.vendor == "mysql":
        pytest.skip("its many runs are made by SQL that MariaDB does not read")
    tasks = [make_task(f"task {n:04}", f"{n % 60} * * * *") for n in range(1000)]
    bulk.make_runs([task.pk for task in tasks], per_task=40)
    for window in ("7d", "24h", "6h", "1h"):
        with django_assert_max_num_queries(16):
            assert len(html(admin_client, f"?window={window}").encode()) < 300_000


def test_texts_are_escaped(admin_client: Client) -> None:
    make_task(NASTY)
    make_task(NASTY + "2")
    assert NASTY not in html(admin_client)
    assert NASTY not in html(admin_client, f"?q={NASTY}&sort={NASTY}&day={NASTY}&window={NASTY}")


@pytest.mark.parametrize(
    ("language", "number"), [("de", "1.44"), ("fr", "1 44"), ("es", "1 44"), ("en", "1,44")]
)
def test_numbers_by_language(admin_client: Client, at_ten: datetime, language: str, number: str) -> None:
    make_task("minutely", "* * * * *", last_run_at=at_ten)
    text = html(admin_client, HTTP_ACCEPT_LANGUAGE=language)
    assert number in re.sub(r"[\xa0\u202f]", " ", text)
