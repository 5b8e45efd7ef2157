"""The sending side."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from scheduled_tasks.models import Status, TaskRun, Trigger
from scheduled_tasks.recording.header import Header
from scheduled_tasks.recording.publish import after_publish, before_publish


class TestPublish:
    def publish(self, **headers: object) -> dict[str, object]:
        sent = {"id": uuid4().hex, "task": "a.task", "retries": 0, "expires": None, **headers}
        before_publish(sender="a.task", headers=sent, body=((1,), {"token": "x"}, {}), routing_key="celery")
        return sent

    @pytest.mark.django_db(transaction=True)
    def test_stock_beat(self) -> None:
        sent = self.publish(periodic_task_name="a job", celery_beat_task=True, expires="2030-01-01T00:00:00")
        run = TaskRun.objects.get(celery_id=sent["id"])
        assert (run.name, run.trigger, run.status) == ("a job", Trigger.SCHEDULE, Status.QUEUED)
        assert (run.queue, run.args, run.expires_at) == ("celery", "[1]", datetime(2030, 1, 1, tzinfo=UTC))
        assert '"x"' not in run.kwargs
        header = Header.of(sent, sent["id"])
        assert header.recorded
        assert header.trigger == Trigger.SCHEDULE

    @pytest.mark.django_db(transaction=True)
    def test_run_selected_in_the_admin_of_django_celery_beat(self) -> None:
        self.publish(periodic_task_name="a job")
        assert TaskRun.objects.get().trigger == Trigger.MANUAL

    @pytest.mark.django_db
    def test_inside_a_transaction_only_the_header_is_added(self) -> None:
        sent = self.publish(periodic_task_name="a job")
        assert not TaskRun.objects.exists()
        header = Header.of(sent, sent["id"])
        assert not header.recorded
        assert abs(datetime.now(UTC) - header.queued_at) < timedelta(minutes=1)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"periodic_task_name": "a job", "retries": 1},
            {"scheduled_tasks": {"name": "a job", "recorded": True}},
            {"parent_id": "another"},
        ],
        ids=["not scheduled", "retry", "recorded already", "canvas child"],
    )
    def test_nothing_to_write(self, headers: dict[str, object]) -> None:
        before = dict(headers)
        sent = self.publish(**headers)
        assert not TaskRun.objects.exists()
        assert {key: sent[key] for key in before} == before
        assert ("scheduled_tasks" in sent) == ("scheduled_tasks" in before)

    @pytest.mark.django_db(transaction=True)
    def test_headers_that_a_task_passes_on_start_no_run(self) -> None:
        first = self.publish(periodic_task_name="a job", celery_beat_task=True)
        passed_on = {key: first[key] for key in ("periodic_task_name", "celery_beat_task", "scheduled_tasks")}
        second = self.publish(**passed_on)
        assert [run.celery_id for run in TaskRun.objects.all()] == [first["id"]]
        assert Header.of(second, second["id"]) is None

    def test_receiver_without_headers_is_quiet(self, caplog: pytest.LogCaptureFixture) -> None:
        after_publish(sender="a.task", headers={})
        assert not caplog.records
