"""A real worker tells of a task's parameters, and what is typed for them arrives as their types."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.http import QueryDict
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from scheduled_tasks.admin.argument_form import argument_form
from scheduled_tasks.models import ProcessKind, ScheduledTask, TaskRun, Trigger
from scheduled_tasks.operations import Actor, run_now
from scheduled_tasks.reading.machinery import Machinery
from tests.live import Worker, wait_for
from tests.run_rows import ended
from tests.typed_tasks import tell_types

TYPED = {
    "text": "é",
    "number": "5",
    "ratio": "2",
    "is_dry": "on",
    "day": "2026-01-31",
    "at": "2026-07-31T12:30",
    "key": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "price": "1.50",
    "days": "2026-01-31\n2026-02-01",
    "level": '"high"',
    "color": '"b"',
    "wait": "90",
    "options": '{"a": 1}',
}
ARRIVES = {
    "text": "'é'",
    "number": "5",
    "ratio": "2.0",
    "is_dry": "True",
    "day": "datetime.date(2026, 1, 31)",
    "at": "datetime.datetime(2026, 7, 31, 10, 30, tzinfo=datetime.timezone.utc)",
    "key": "UUID('6ba7b810-9dad-11d1-80b4-00c04fd430c8')",
    "price": "Decimal('1.50')",
    "days": "[datetime.date(2026, 1, 31), datetime.date(2026, 2, 1)]",
    "level": "'high'",
    "color": "'b'",  # as the form says
    "wait": "90",
    "options": "{'a': 1}",
}


@pytest.mark.smoke
def test_what_is_typed_arrives_as_its_type(worker: Worker, start_beat) -> None:
    wait_for(lambda: Machinery.read().alive(ProcessKind.WORKER), message="a worker that tells")
    sent = QueryDict(mutable=True)
    sent.update({"fields": "1", **{f"argument-{name}": text for name, text in TYPED.items()}})
    form = argument_form(Machinery.read(), tell_types.name, "[]", "{}", sent)
    assert form.is_valid(), form.errors
    assert not form.is_json
    assert form.doc == "Tell of each argument what has arrived."

    every_second, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    row = {"task": tell_types.name, "interval": every_second, "enabled": False}
    bare = PeriodicTask.objects.create(name="bare", **row)
    celery_id = str(uuid4())
    run_now(bare.pk, actor=Actor("anna", lambda *_: None), celery_id=celery_id, **form.arguments)
    assert ended(celery_id).summary_data == ARRIVES

    stored = PeriodicTask.objects.create(name="stored", kwargs=json.dumps(form.arguments["kwargs"]), **row)
    ScheduledTask.objects.filter(pk=stored.pk).update(enabled=True)
    start_beat()
    scheduled = TaskRun.objects.filter(task_id=stored.pk, trigger=Trigger.SCHEDULE).exclude(summary="")
    run = wait_for(scheduled.first, message="a run on schedule")
    assert run.summary_data == ARRIVES
