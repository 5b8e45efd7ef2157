"""The database is away between a channel's answer and the note of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from scheduled_tasks.models import Incident, Notice
from tests.alerts.receiver import Receiver, status
from tests.alerts.rows import make_notice
from tests.chaos.servers import Place
from tests.guard import Guarded
from tests.integration.test_alerts import sent, start_sender
from tests.live import wait_for

__all__ = ["start_sender"]


def test_database_is_away_when_it_is_to_be_noted(
    postgres: Place, start_sender: Callable[..., Guarded]
) -> None:
    """It is noted later, and the channel is not called again."""
    may_answer = threading.Event()

    def answer(handler: object) -> None:
        may_answer.wait(60)
        status(204)(handler)

    with Receiver() as receiver:
        receiver.answers = [answer]
        notice = make_notice(receiver.url())
        start_sender("only", [receiver.url()], DATABASE_URL=postgres.url)
        wait_for(lambda: receiver.posts, message="it is under way")
        with postgres.down():
            may_answer.set()
            time.sleep(5)
        wait_for(lambda: sent(notice), message="it is noted")
        time.sleep(3)  # longer than a claim
        assert len(receiver.posts) == 1
    assert Notice.objects.get().error == ""
    assert Incident.objects.count() == 1
