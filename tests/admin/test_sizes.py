"""How many bytes the page sends: gzipped as a web server does, at level 6."""

from __future__ import annotations

import gzip
import random
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from scheduled_tasks.models import ProcessKind, ScheduledTask, Status, TaskRun, TaskState, database_now
from tests.admin.test_refresh import Browser
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
TEXT = """
    exchange rates invoices customers reports search index cache mail webhooks audit certificates
    documents wallets sessions uploads previews nightly stale pending failed compares sends deletes
    rebuilds fetches verifies imports exports archives retries updates cleans every their which were not
    since until again
"""
WORDS = TEXT.split()

TASKS, RUNS = 50, 30
FIRST_LOAD, ALL_STATIC, POLL = 60_000, 100_000, 2_500
"""Most bytes: of a page of 50 rows, of all files of its own, and of a poll with one changed row."""


def gzipped(content: bytes) -> int:
    return len(gzip.compress(content, 6))


@pytest.fixture
def listed() -> list[int]:
    """Fifty tasks with descriptions, notes and full run strips; some fail."""
    make_process(ProcessKind.BEAT)
    make_process()
    pick, now = random.Random(7), database_now()
    runs, ids = [], []
    for number in range(TASKS):
        name = f"{'-'.join(pick.sample(WORDS, 3))}-{number}"
        text = " ".join(pick.sample(WORDS, 14)).capitalize()
        cron = f"{pick.randrange(60)} {pick.randrange(24)} * * {pick.choice(['*', '1-5', '0'])}"
        task = make_task(
            name,
            cron,
            enabled=number % 4 != 0,
            description=text,
            task=f"shop.{pick.choice(WORDS)}.tasks.{name}",
        )
        note = " ".join(pick.sample(WORDS, 12)) if number % 4 == 0 else ""
        TaskState.objects.update_or_create(task_id=task.pk, defaults={"pause_note": note})
        ids.append(task.pk)
        for back in range(RUNS, 0, -1):
            at = now - timedelta(hours=back, seconds=pick.randrange(3000))
            failed = pick.random() < 0.1
            runs.append(
                TaskRun(
                    task_id=task.pk,
                    name=name,
                    celery_id=f"{task.pk}-{back}",
                    status=Status.FAILED if failed else Status.SUCCEEDED,
                    queued_at=at,
                    started_at=at,
                    finished_at=at + timedelta(seconds=pick.uniform(0.05, 90)),
                    error_type="shop.errors.RatesUnavailable" if failed else "",
                    error=" ".join(pick.sample(WORDS, 10)) if failed else "",
                )
            )
    TaskRun.objects.bulk_create(runs)
    return ids


def test_page_of_fifty_rows_is_small(admin_client: Client, listed: list[int]) -> None:
    content = admin_client.get(LIST).content
    assert content.count(b'id="st-row-') == TASKS
    assert gzipped(content) <= FIRST_LOAD


def test_static_files_are_small(admin_client: Client) -> None:
    html = admin_client.get(LIST).content.decode()
    names = set(re.findall(r'/static/((?!admin/)[^"?]+\.(?:js|css))', html))
    assert {Path(name).suffix for name in names} == {".js", ".css"}
    files = [finders.find(name) for name in sorted(names)]
    assert sum(gzipped(Path(path).read_bytes()) for path in files) <= ALL_STATIC


def test_poll_with_one_changed_row_is_small(admin_client: Client, listed: list[int]) -> None:
    browser = Browser(admin_client)
    make_run(
        ScheduledTask.objects.get(pk=listed[4]), Status.FAILED, error_type="ValueError", error="no answer"
    )
    text = browser.refresh()
    assert text.count('id="st-row-') == 1
    assert gzipped(text.encode()) <= POLL
