"""What a subclass of the scheduler may decide."""

from __future__ import annotations

from copy import copy

import pytest

from scheduled_tasks.models import ScheduledTask
from tests.beat.harness import (
    START,
    Beat,
    TestClock,
    a_beat_was_here,
    at,
    cron_row,
    cron_task,
    runs,
    state,
    task,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def earlier_beat() -> None:
    a_beat_was_here()


class ShiftingBeat(Beat):
    """Shifts tasks called ``+5`` by five minutes, and refuses those called ``bad``."""

    def read_task(self, task: ScheduledTask) -> None:
        if task.name == "bad":
            raise LookupError("no such site")
        if task.name == "+5":
            task.crontab = copy(task.crontab)
            task.crontab.minute = "5"


class PatientBeat(Beat):
    """Takes no change until told."""

    takes_changes = False
    asked = 0

    def schedule_changed(self) -> bool:
        self.asked += 1
        return self.takes_changes


def test_a_task_may_be_changed_as_it_is_read() -> None:
    row = cron_row("0 * * * *")
    plain, shifted = (
        task(name="plain", crontab=row, changed=START),
        task(name="+5", crontab=row, changed=START),
    )
    beat = ShiftingBeat(TestClock(at("10:07")))
    beat.run_until(at("12:30"))
    for each, minute in ((plain, "00"), (shifted, "05")):
        assert [tick for _status, tick, _count in runs(each)] == [f"10 11:{minute}:00", f"10 12:{minute}:00"]
    assert state(shifted).next_run_at == at("13:05")
    row.refresh_from_db()
    assert row.minute == "0"


def test_two_tasks_of_one_row_are_due_apart_also_when_they_are_late_together() -> None:
    row = cron_row("0 * * * *")
    plain, shifted = (
        task(name="plain", crontab=row, changed=START),
        task(name="+5", crontab=row, changed=START),
    )
    clock = TestClock(at("10:07"))
    beat = ShiftingBeat(clock)
    beat.tick()
    clock.moment = at("11:05")
    while beat.tick() == 0:
        pass
    assert [run.scheduled_for for run in beat.sent] == [at("11:00"), at("11:05")]
    assert (len(runs(plain)), len(runs(shifted))) == (1, 1)


def test_a_task_that_is_read_again_unchanged_keeps_its_entry() -> None:
    shifted = cron_task("0 * * * *", name="+5", changed=START)
    beat = ShiftingBeat(TestClock(at("10:07")))
    beat.tick()
    assert beat.leader is not None
    entry = beat.leader.entries[shifted.pk]
    beat.leader.resume(None)
    beat.tick()
    assert beat.leader.entries[shifted.pk] is entry


def test_a_task_that_a_hook_refuses_is_broken_and_others_run() -> None:
    bad, good = (
        cron_task("0 * * * *", name="bad", changed=START),
        cron_task("0 * * * *", name="good", changed=START),
    )
    ShiftingBeat(TestClock(at("10:07"))).run_until(at("11:30"))
    assert (runs(bad), len(runs(good))) == ([], 1)
    assert "no such site" in str(state(bad).problem)


def test_a_change_waits_until_the_scheduler_takes_it() -> None:
    clock = TestClock(at("10:07"))
    beat = PatientBeat(clock)
    beat.run_until(at("10:08"))
    new = cron_task("* * * * *", changed=at("10:08"))
    beat.run_until(at("10:11"))
    assert (runs(new), beat.asked > 0) == ([], True)
    beat.takes_changes = True
    beat.run_until(at("10:11:30"))
    beat.run_until(at("10:12"))
    assert [tick for _status, tick, _count in runs(new)] == ["10 10:12:00"]


def test_meanwhile_no_disabled_task_starts() -> None:
    known = cron_task("10 * * * *", changed=START)
    beat = PatientBeat(TestClock(at("10:07")))
    beat.tick()
    known.enabled = False
    known.save()
    beat.run_until(at("10:11"))
    assert runs(known) == []


class FailingBeat(Beat):
    """Cannot say whether a change counts."""

    def schedule_changed(self) -> bool:
        raise LookupError("no such site")


def test_a_hook_that_raises_takes_every_change(caplog: pytest.LogCaptureFixture) -> None:
    beat = FailingBeat(TestClock(at("10:07")))
    beat.run_until(at("10:08"))
    new = cron_task("* * * * *", changed=at("10:08"))
    beat.run_until(at("10:10"))
    assert len(runs(new)) > 0
    assert "schedule_changed() failed" in caplog.text
