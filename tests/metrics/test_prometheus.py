"""The alert rules and the dashboard of docs/prometheus: the metrics they name are exposed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from scheduled_tasks.metrics.collector import TaskCollector
from scheduled_tasks.models import Lease, ProcessKind, Status, TaskState, UtcNow, database_now
from tests.factories import make_process, make_run, make_task
from tests.live import ROOT
from tests.test_docs import codes, table

PLACE = ROOT / "docs" / "prometheus"
RULES, TESTS, DASHBOARD = (
    PLACE / name for name in ("scheduled_tasks.rules.yml", "rules_test.yml", "grafana.json")
)
METRIC = re.compile(r"\b(scheduled_tasks_\w+)(?:\{(\w+)=)?")
LABELS = re.compile(r"by \((\w+)\) \((scheduled_tasks_\w+)")


@pytest.fixture
def exposed(db: None) -> dict[str, set[str]]:
    """The labels of every sample that a site with a bit of everything exposes, by the metric's name."""
    task, now = make_task(), database_now()
    TaskState.objects.create(task_id=task.pk, accounted_until=now, next_run_at=now + timedelta(hours=1))
    make_run(task)
    make_run(task, Status.QUEUED, queue="celery")
    beat = make_process(ProcessKind.BEAT)
    make_process(ProcessKind.WORKER)
    Lease.objects.create(name="beat", holder=beat.boot_id, until=UtcNow() + timedelta(minutes=1))
    return {
        sample.name: {*sample.labels} for family in TaskCollector().collect() for sample in family.samples
    }


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


@pytest.mark.parametrize("file", [RULES, TESTS, DASHBOARD], ids=lambda file: file.name)
def test_every_metric_is_exposed(exposed: dict[str, set[str]], file: Any) -> None:
    text = file.read_text()
    if file == DASHBOARD:
        text = "\n".join(expressions(json.loads(text)))
    named = METRIC.findall(text.replace("scheduled_tasks.rules", ""))
    assert len(named) > 8
    assert {name for name, _label in named} - {*exposed} == set()
    assert [(name, label) for name, label in named if label and label not in exposed[name]] == []
    assert [(name, label) for label, name in LABELS.findall(text) if label not in exposed[name]] == []


@pytest.mark.django_db
def test_the_table_of_metrics() -> None:
    told = {f"scheduled_tasks_{name}" for row in table("metrics.md", "All metrics") for name in codes(row[0])}
    assert told == {family.name for family in TaskCollector().collect()}


def test_texts_name_labels_that_there_are(exposed: dict[str, set[str]]) -> None:
    _head, *rules = RULES.read_text().split("- alert: ")
    assert len(rules) == 9
    for rule in rules:
        labels = {*re.findall(r"\$labels\.(\w+)", rule)}
        (name, _label), *_more = METRIC.findall(rule)
        assert labels <= exposed[name], rule


def test_each_rule_is_seen_to_fire_and_not_to_fire() -> None:
    tests = TESTS.read_text().split("- alertname: ")[1:]
    seen = {(test.split()[0], "exp_alerts: []" not in test) for test in tests}
    rules = re.findall(r"- alert: (\w+)", RULES.read_text())
    assert seen == {(rule, fires) for rule in rules for fires in (True, False)}


def test_the_dashboard_suits_any_site() -> None:
    """The data source is chosen in Grafana, and nothing names a machine."""
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    sources = [each["datasource"] for panel in panels for each in (panel, *panel["targets"])]
    assert {source["uid"] for source in sources} == {"${datasource}"}
    assert [each["type"] for each in dashboard["templating"]["list"]] == ["datasource"]
    assert not re.search(r"instance|job=|https?://|localhost|\d+\.\d+\.\d+\.\d+", DASHBOARD.read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is part of Debian's package prometheus")
def test_promtool(tmp_path: Path) -> None:
    """As ``.ci/run prometheus`` does. promtool also reads the dashboard's expressions, as rules."""
    rules = [
        {"record": f"panel:{number}", "expr": expr}
        for number, expr in enumerate(expressions(json.loads(DASHBOARD.read_text())))
    ]
    made = tmp_path / "dashboard.yml"
    made.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    for command in (("check", "rules", RULES), ("check", "rules", made), ("test", "rules", TESTS)):
        subprocess.run(["promtool", *command], check=True)
