"""Trouble is logged once a minute."""

from __future__ import annotations

import pytest

from scheduled_tasks.recording.complaints import Complaints


def test_one_line_of_log_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    for _ in range(5):
        complaints.log("Trouble.", ValueError("why"))
    complaints.log("Other trouble.")
    assert [line.getMessage() for line in caplog.records] == ["Trouble. (ValueError: why)", "Other trouble."]
