"""Trying an owner's channels out: a test message to each, and at once how that went."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from django.db import connections

from ..conf import settings
from .channels import Channel, ChannelError, channels_for
from .faults import told
from .notification import Notification

ANSWER_WITHIN = 20.0
"""Seconds after which a channel that has not answered is taken for one that hangs."""


@dataclass
class Trial:
    """One channel and what became of its test message: ``fault`` is empty when the channel took it."""

    channel: Channel
    fault: str = "It did not answer."

    def run(self, notification: Notification) -> None:
        try:
            self.channel.send(notification)
            self.fault = ""
        except ChannelError as error:
            self.fault = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message was not taken
            self.fault = told(error)
        finally:
            connections.close_all()


def send_test(owner: str, *, site: str, sent_by: str) -> list[Trial]:
    """Send a test message to each of the owner's channels at the same time; [] when the owner has none.

    It says who sent it, and from where: the setting ``SITE_URL``, or ``site``.

    Takes :data:`ANSWER_WITHIN` seconds at most.
    """
    trials = [Trial(channel) for channel in channels_for(owner)]
    site = settings.SITE_URL or site
    notification = Notification(event="test", owner=owner, site=site, sent_by=sent_by)
    threads = [threading.Thread(target=each.run, args=[notification], daemon=True) for each in trials]
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + ANSWER_WITHIN
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return trials
