"""The dead man's ping: an address outside that is told once a minute that beat works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from urllib.request import Request, urlopen

from ..conf import settings
from ..links import is_web_address
from ..private import under_test
from ..recording.complaints import complaints

PING_EVERY = 60.0
"""Seconds between two pings."""

LOOK_EVERY = 1.0
"""Seconds between two looks at whether beat works."""

TIMEOUT = 10.0
"""Seconds for which the other side may be silent."""


class Ping:
    """Requests ``PING_URL`` from a thread of its own while ``works`` says that beat does.

    What goes wrong is logged once a minute at most, never with the address, which is a secret.
    """

    def __init__(self, works: Callable[[], bool]) -> None:
        self._works = works
        self._stopping = threading.Event()

    def start(self) -> None:
        """Ping until :meth:`stop`; not under a test runner."""
        if not under_test():
            threading.Thread(target=self._run, name="scheduled-tasks-ping", daemon=True).start()

    def stop(self) -> None:
        """Ping no more."""
        self._stopping.set()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(LOOK_EVERY):
            url = settings.PING_URL
            if url and time.monotonic() >= due and self._works():
                due = time.monotonic() + PING_EVERY
                ping(url)


def ping(url: str) -> None:
    """Request ``url`` once. Raises nothing."""
    if not is_web_address(url):
        complaints.log("PING_URL is no http or https address.")
        return
    try:
        request = Request(url, headers={"User-Agent": "celery-scheduled-tasks"})  # noqa: S310
        urlopen(request, timeout=TIMEOUT).close()  # noqa: S310
    except OSError as error:
        complaints.log("PING_URL could not be requested.", error)
    except (HTTPException, ValueError) as error:  # whose text may hold the address
        complaints.log(f"PING_URL could not be requested: {type(error).__name__}.")
