"""Who is told of an incident, when, and how often; and why nobody is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduled_tasks.incidents.notices import Untold
from scheduled_tasks.incidents.watcher import Watcher
from scheduled_tasks.models import Incident, Notice, NoticeState, Status, TaskState
from tests.alerts.rows import why
from tests.factories import make_run, make_task
from tests.incidents.conftest import TestClock

pytestmark = pytest.mark.django_db


def told() -> list[tuple[str, str]]:
    """Every notice made so far: event and channel."""
    return list(Notice.objects.order_by("pk").values_list("event", "label"))


def events() -> list[str]:
    return [event for event, _channel in told()]


def test_opening_and_recovery_are_told_once_to_each_channel(
    watching: Watcher, channels: dict[str, list[str]]
) -> None:
    channels["default"] = ["ops", "chat"]
    task = make_task()
    make_run(task, Status.FAILED)
    for _ in range(2):
        watching.look()
    assert told() == [("opened", "ops"), ("opened", "chat")]
    make_run(task)
    for _ in range(2):
        watching.look()
    assert told()[2:] == [("closed", "ops"), ("closed", "chat")]
    notice = Notice.objects.latest("pk")
    assert (notice.state, notice.incidents.get()) == (NoticeState.WAITING, Incident.objects.get())
    assert notice.due_at is not None


@pytest.mark.parametrize("looks", [(1, 2, 3, 4), (3, 4), (2, 4), (4,)])
def test_alert_after_counts_the_runs_whenever_somebody_looks(
    watching: Watcher, looks: tuple[int, ...]
) -> None:
    """Failures and recovery may all come between two looks, as when the holder was killed."""
    task = make_task()
    TaskState.objects.create(task_id=task.pk, alert_after=3)
    watching.look()
    for number, status in enumerate([Status.FAILED] * 3 + [Status.SUCCEEDED], 1):
        make_run(task, status, ago=10 - number)
        if number in looks:
            watching.look()
            if number < 3:
                assert why(Incident.objects.get()) == Untold.BELOW_ALERT_AFTER
    watching.look()
    assert events() == ["opened", "closed"]
    assert Incident.objects.get().run_count == 3


def test_fewer_failures_are_never_told(watching: Watcher) -> None:
    task = make_task()
    TaskState.objects.create(task_id=task.pk, alert_after=3)
    for status in (Status.FAILED, Status.FAILED, Status.SUCCEEDED):
        make_run(task, status)
        watching.look()
    assert events() == []
    assert not Incident.objects.get().is_open


def test_takeover_tells_nothing_twice(start_watcher: Callable[[], Watcher]) -> None:
    task = make_task()
    first = start_watcher()
    make_run(task, Status.FAILED)
    first.look()
    make_run(task)
    first.look()
    first.lease.release()
    start_watcher().look()
    assert events() == ["opened", "closed"]
    assert Incident.objects.count() == 1


def test_more_than_five_at_once_are_one_message(watching: Watcher) -> None:
    tasks = [make_task(f"task-{number}") for number in range(6)]
    for task in tasks:
        make_run(task, Status.FAILED)
    watching.look()
    notice = Notice.objects.get()
    assert (notice.event, notice.count, notice.incidents.count()) == ("opened", 6, 6)
    for task in tasks[:5]:
        make_run(task)
    watching.look()
    assert events() == ["opened"] + ["closed"] * 5


def test_owner_chooses_the_channels(watching: Watcher, channels: dict[str, list[str]]) -> None:
    channels["billing"] = ["billing"]
    task = make_task()
    TaskState.objects.create(task_id=task.pk, owner="billing")
    make_run(task, Status.FAILED)
    watching.look()
    assert told() == [("opened", "billing")]
    assert Notice.objects.get().owner == "billing"


def test_job_that_fails_every_other_minute_makes_four_messages_an_hour(
    watching: Watcher, clock: TestClock
) -> None:
    task = make_task()
    watching.look()
    for minute in range(60):
        status = Status.SUCCEEDED if minute % 2 else Status.FAILED
        now = clock.now()
        make_run(task, status, queued_at=now, started_at=now, finished_at=now)
        for _look in range(6):
            clock.move(seconds=10)
            watching.look()
    assert events() == ["opened", "closed", "flapping"]
    assert Notice.objects.latest("pk").count == 5


def fail_and_recover(watching: Watcher, clock: TestClock, task: object, count: int = 1) -> None:
    """A minute of each, so many times."""
    for _ in range(count):
        for status in (Status.FAILED, Status.SUCCEEDED):
            now = clock.now()
            make_run(task, status, queued_at=now, started_at=now, finished_at=now)
            watching.look()
            clock.move(seconds=60)


def look_for(watching: Watcher, clock: TestClock, minutes: int) -> None:
    for _ in range(minutes):
        clock.move(seconds=60)
        watching.look()


def test_a_trouble_that_comes_back_is_told_once_it_lasts(watching: Watcher, clock: TestClock) -> None:
    task = make_task()
    fail_and_recover(watching, clock, task)
    make_run(task, Status.FAILED)
    watching.look()
    assert why(Incident.objects.open().get()) == Untold.WAITING
    look_for(watching, clock, 4)
    assert events() == ["opened", "closed"]
    look_for(watching, clock, 2)
    assert events() == ["opened", "closed", "opened"]
    assert why(Incident.objects.open().get()) == ""
    make_run(task)
    watching.look()
    assert events() == ["opened", "closed", "opened", "closed"]


def test_an_hour_later_it_is_told_at_once(watching: Watcher, clock: TestClock) -> None:
    task = make_task()
    fail_and_recover(watching, clock, task)
    clock.move(minutes=61)
    make_run(task, Status.FAILED)
    watching.look()
    assert events() == ["opened", "closed", "opened"]


def test_the_end_of_flapping(watching: Watcher, clock: TestClock) -> None:
    """A summary while it goes on; its end an hour after the last one, and quiet from then on."""
    task = make_task()
    fail_and_recover(watching, clock, task, 7)
    assert events() == ["opened", "closed", "flapping"]
    make_run(task, Status.FAILED)
    watching.look()
    assert why(Incident.objects.open().get()) == Untold.FLAPPING
    make_run(task)
    watching.look()
    look_for(watching, clock, 61)
    assert events()[3:] == ["summary"]
    assert Notice.objects.latest("pk").count == 3
    look_for(watching, clock, 50)
    assert events()[4:] == []
    look_for(watching, clock, 5)
    assert events()[4:] == ["closed"]
    look_for(watching, clock, 200)
    assert events()[5:] == []


def test_a_flapping_trouble_that_stays_is_told(watching: Watcher, clock: TestClock) -> None:
    task = make_task()
    fail_and_recover(watching, clock, task, 5)
    make_run(task, Status.FAILED)
    look_for(watching, clock, 70)
    assert events()[3:] == ["summary"]
    look_for(watching, clock, 120)
    assert events()[4:] == []
    make_run(task)
    watching.look()
    assert events()[4:] == ["closed"]


@pytest.mark.parametrize("fate", ["paused", "deleted"])
def test_whoever_was_told_hears_that_it_is_watched_no_more(watching: Watcher, fate: str) -> None:
    task, quiet = make_task(), make_task("quiet")
    TaskState.objects.create(task_id=quiet.pk, alert_after=3)
    for each in (task, quiet):
        make_run(each, Status.FAILED)
    watching.look()
    for each in (task, quiet):
        if fate == "paused":
            each.enabled = False
            each.save()
        else:
            each.delete()
    watching.look()
    assert [*Incident.objects.values_list("closing", flat=True)] == [fate] * 2
    assert events() == ["opened", "closed"]
    assert Notice.objects.latest("pk").incidents.get().subject == "purge"


def test_failures_that_a_pause_followed_at_once_are_not_told(watching: Watcher) -> None:
    task = make_task()
    TaskState.objects.create(task_id=task.pk, alert_after=2)
    make_run(task, Status.FAILED)
    watching.look()
    make_run(task, Status.FAILED)
    task.enabled = False
    task.save()
    watching.look()
    assert events() == []


def test_a_channel_that_comes_later_hears_of_what_nobody_was_told(
    watching: Watcher, channels: dict[str, list[str]]
) -> None:
    channels.clear()
    make_run(make_task(), Status.FAILED)
    watching.look()
    channels["default"] = ["ops"]
    watching.look()
    assert told() == [("opened", "ops")]
