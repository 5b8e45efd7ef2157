"""Alerts are sent once, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from scheduled_tasks.models import Notice, NoticeState
from tests.alerts.receiver import Receiver
from tests.alerts.rows import make_incident, make_notice
from tests.guard import Guarded
from tests.live import ROOT, wait_for

DIES_ONCE = "tests.alerts.called.die_once"


@pytest.fixture
def start_sender(no_other_worker: None, logs: Path) -> Iterator[Callable[..., Guarded]]:
    """Call it to start a process that sends: ``start_sender("name", [address])``."""
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:

        def start(holder: str, addresses: list[str], **env: str) -> Guarded:
            command = [sys.executable, "-m", "tests.alerts.sending_process", holder]
            own = {"DJANGO_SETTINGS_MODULE": "tests.settings", "ALERTS": json.dumps({"default": addresses})}
            process = Guarded(
                command, log=logs / f"sender-{holder}.log", env={**os.environ, **own, **env}, cwd=ROOT
            )
            stack.callback(process.stop)
            return process

        yield start


def sent(notice: Notice) -> bool:
    return Notice.objects.filter(pk=notice.pk, state=NoticeState.SENT).exists()


def test_killed_between_claim_and_send(start_sender: Callable[..., Guarded], tmp_path: Path) -> None:
    notice = make_notice(DIES_ONCE)
    deliveries = tmp_path / "deliveries"
    first = start_sender("first", [DIES_ONCE], DELIVERIES=str(deliveries))
    assert first.wait() != 0
    notice.refresh_from_db()
    assert (notice.state, notice.claimed_by) == (NoticeState.CLAIMED, "first")
    for holder in ("second", "third"):
        start_sender(holder, [DIES_ONCE], DELIVERIES=str(deliveries))
    wait_for(lambda: sent(notice), message="the notice is sent")
    assert deliveries.read_text() == f"{notice.pk}\n"


def test_killed_again_and_again(start_sender: Callable[..., Guarded]) -> None:
    """None is forgotten, and none is sent twice but the one that was under way at a kill."""
    with Receiver() as receiver:
        address = receiver.url()
        incident = make_incident()
        notices = [make_notice(address, incident) for _ in range(30)]
        kills = 4
        for number in range(kills):
            process = start_sender(f"killed{number}", [address])
            wanted = len(receiver.posts) + 3
            wait_for(lambda: len(receiver.posts) >= wanted, message="it sends")  # noqa: B023
            process.kill()
        start_sender("last", [address])
        wait_for(lambda: all(map(sent, notices)), message="all are sent")
        keys = [int(post.headers["Idempotency-Key"]) for post in receiver.posts]
    assert sorted({*keys}) == [notice.pk for notice in notices]
    assert len(keys) <= len(notices) + kills
