"""A fork keeps the recorder from writing for a moment, and never for longer."""

from __future__ import annotations

import pytest
from django.db import NotSupportedError

from scheduled_tasks.recording import forks
from scheduled_tasks.recording import recorder as recording
from scheduled_tasks.recording.recorder import Recorder


def test_two_threads_fork_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    forked = Recorder()
    monkeypatch.setattr(recording, "_recorder", forked)
    monkeypatch.setattr(forks, "patience", lambda: 0.01)
    for _ in range(2):
        recording._before_fork()
    for _ in range(2):
        recording._after_fork_in_parent()
    assert forked.busy.acquire(blocking=False)


def test_what_a_locked_file_answered_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the thread finds no incidents any more: it reads columns of JSON."""
    monkeypatch.setattr(forks.connections, "close_all", lambda: None)
    features = forks.connections["default"].features
    monkeypatch.setitem(vars(features), "supports_json_field", False)
    with pytest.raises(NotSupportedError), forks.connected():
        raise NotSupportedError
    assert "supports_json_field" not in vars(features)
