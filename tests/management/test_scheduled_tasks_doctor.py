"""``manage.py scheduled_tasks_doctor``: exit status, words and JSON."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.db import OperationalError

from scheduled_tasks.management import installation
from scheduled_tasks.management.commands import scheduled_tasks_doctor
from scheduled_tasks.management.findings import Finding

INFO = Finding("scheduler", "info", "Beat will run this app's scheduler.")
WRONG = Finding("beat", "error", "Beat is not running.", "celery -A proj beat")


def doctor(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("scheduled_tasks_doctor", *arguments, stdout=out, no_color=True)
    return int(ended.value.code or 0), out.getvalue()


@pytest.mark.parametrize(
    ("found", "status", "text"),
    [
        ([INFO], 0, "INFO Beat will run this app's scheduler.\nNothing is wrong.\n"),
        (
            [WRONG],
            1,
            "ERROR Beat is not running.\n    celery -A proj beat\nFindings that need action: 1.\n",
        ),
    ],
)
def test_words_and_status(
    monkeypatch: pytest.MonkeyPatch, found: list[Finding], status: int, text: str
) -> None:
    monkeypatch.setattr(scheduled_tasks_doctor, "examine", lambda: found)
    assert doctor() == (status, text)


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_tasks_doctor, "examine", lambda: [INFO, WRONG])
    status, text = doctor("--json")
    assert status == 1
    assert json.loads(text)[1] == {
        "code": "beat",
        "level": "error",
        "text": "Beat is not running.",
        "remedy": "celery -A proj beat",
    }


@pytest.mark.django_db
def test_without_a_database_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bool:
        raise OperationalError("connection\nrefused")

    monkeypatch.setattr(installation, "tables_exist", fail)
    status, text = doctor("--json")
    told = {finding["code"]: finding["text"] for finding in json.loads(text)}
    assert status == 1
    assert told["database"].endswith("does not answer: connection refused")
    assert {"scheduler", "versions", "broker"} <= told.keys()
    assert "doctor" not in told
