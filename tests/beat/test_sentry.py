"""What hooks into Celery's own scheduler works under ours: sentry-sdk's monitoring of beat's tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sentry_sdk")

ROOT = Path(__file__).parent.parent.parent


def check_ins(kind: str, home: Path) -> dict[str, list[dict[str, Any]]]:
    """The check-ins of each task, oldest first, from a process of their own: sentry-sdk patches Celery."""
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": f"sqlite:///{home / kind}.sqlite3",
        "CELERY_BROKER_URL": "memory://",
        "RESULT_BACKEND": "cache+memory://",
    }
    command = [sys.executable, "-m", "tests.beat.sentry_process", kind]
    done = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    notes: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return {name: [note for note in notes if note["monitor_slug"] == name] for name in ("adds", "fails")}


def test_check_ins_are_those_under_the_stock_scheduler(tmp_path: Path) -> None:
    ours, stock = (check_ins(kind, tmp_path) for kind in ("ours", "stock"))
    for name, end in (("adds", "ok"), ("fails", "error")):
        assert [note["status"] for note in ours[name]] == ["in_progress", end]
        assert len({note["check_in_id"] for note in ours[name]}) == 1
        assert ours[name][0]["monitor_config"]["schedule"]
        shown = [(note["status"], note["monitor_config"]) for note in ours[name]]
        assert shown == [(note["status"], note["monitor_config"]) for note in stock[name]]
