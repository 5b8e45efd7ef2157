"""Prints what sentry-sdk notes about a run of two tasks, ``stock`` or ``ours``; nothing leaves it."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import django
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

notes: list[dict[str, Any]] = []


class NotingTransport(Transport):
    def capture_envelope(self, envelope: Envelope) -> None:
        notes.extend(item.payload.json for item in envelope.items if item.type == "check_in")


def main(kind: str) -> None:
    sentry_sdk.init(
        "http://key@localhost/1",
        transport=NotingTransport,
        integrations=[CeleryIntegration(monitor_beat_tasks=True)],
    )
    django.setup()
    from celery.contrib.testing.worker import start_worker
    from django.core.management import call_command

    from example_project.celery import app

    call_command("migrate", verbosity=0)
    make_tasks()
    app.loader.import_default_modules()
    with start_worker(app, pool="solo", perform_ping_check=False, queues=["sentry"]):
        {"ours": send_ours, "stock": send_stock}[kind](app)
        until = time.monotonic() + 60
        while len(notes) < 4 and time.monotonic() < until:
            time.sleep(0.05)
    print(json.dumps([{name: note.get(name) for name in SHOWN} for note in notes]))


SHOWN = ("monitor_slug", "check_in_id", "status", "monitor_config")


def make_tasks() -> None:
    from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

    PeriodicTask.objects.all().delete()
    cron = CrontabSchedule.objects.create(minute="*/5", hour="*", timezone="Europe/Paris")
    every = IntervalSchedule.objects.create(every=10, period="minutes")
    common = {"queue": "sentry"}
    PeriodicTask.objects.create(name="adds", task="tests.tasks.add", args="[1, 2]", crontab=cron, **common)
    PeriodicTask.objects.create(name="fails", task="tests.tasks.fail", interval=every, **common)


def send_ours(app: Any) -> None:
    from scheduled_tasks.beat import Scheduler
    from tests.beat.harness import Beat, TestClock

    class SendingBeat(Beat):
        publish = Scheduler.publish

    now = datetime.now(UTC)
    beat = SendingBeat(TestClock(now))
    beat.tick()
    beat.clock.moment = now + timedelta(minutes=10, seconds=1)
    beat.tick()


def send_stock(app: Any) -> None:
    from django_celery_beat.schedulers import DatabaseScheduler

    beat = DatabaseScheduler(app=app)
    for name in ("adds", "fails"):
        beat.apply_entry(beat.schedule[name], producer=beat.producer)


if __name__ == "__main__":
    main(sys.argv[1])
