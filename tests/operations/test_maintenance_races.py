"""Two people plan the same maintenance at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connections

from scheduled_tasks.models import MaintenanceWindow, database_now
from scheduled_tasks.operations import Actor, plan_maintenance
from tests.factories import make_task

pytestmark = pytest.mark.django_db(transaction=True)
CLICKS = 3


def test_a_form_that_is_sent_several_times_at_once_is_one_window() -> None:
    task, end, gate = make_task(), database_now() + timedelta(hours=1), Barrier(CLICKS)
    anna = Actor("anna", lambda about, entry: None)

    def plan(_click: int) -> int:
        try:
            database_now()
            gate.wait(30)
            return plan_maintenance(actor=anna, task_ids=[task.pk], ends_at=end).pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CLICKS) as pool:
        assert len(set(pool.map(plan, range(CLICKS)))) == 1
    assert MaintenanceWindow.objects.count() == 1
