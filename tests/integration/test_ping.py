"""The dead man's ping of real beats: it comes while the leader works, and at no other time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scheduled_tasks.models import Lease
from tests import embedded
from tests.live import Beat, wait_for

from .test_beat import LEADS, no_other_jobs

__all__ = ["no_other_jobs"]

QUIET = 4.0
"""Seconds without a ping after which they have stopped: eight times their pause."""


class Receiver:
    """An HTTP server that counts requests and answers with ``status``, after ``go_on`` is set."""

    def __init__(self) -> None:
        receiver = self
        self.paths: list[str] = []
        self.status = 200
        self.go_on = threading.Event()
        self.go_on.set()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.paths.append(self.path)
                receiver.go_on.wait(60)
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{path}"

    def count(self, path: str) -> int:
        return self.paths.count(f"/{path}")

    def wait_for_pings(self, path: str) -> None:
        seen = self.count(path)
        wait_for(lambda: self.count(path) > seen + 2, message=f"pings of {path}")

    def wait_for_silence(self) -> None:
        def silent() -> bool:
            seen = len(self.paths)
            time.sleep(QUIET)
            return len(self.paths) == seen

        wait_for(silent, message="the end of the pings")

    def stop(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def pinging(start_beat: Callable[..., Beat], receiver: Receiver, no_other_jobs: None) -> Callable[..., Beat]:
    """Call it with a path to start a beat that pings it."""

    def start(path: str, **env: str) -> Beat:
        settings = {"DJANGO_SETTINGS_MODULE": "tests.settings_ping", "PING_URL": receiver.url(path)}
        return start_beat(env={**settings, **env})

    return start


def test_leader_pings_until_it_is_stopped_and_then_the_next(
    pinging: Callable[..., Beat], receiver: Receiver
) -> None:
    leader = pinging("first")
    leader.wait_for_log(LEADS)
    standby = pinging("second")
    standby.wait_for_log("stands by")
    receiver.wait_for_pings("first")
    assert receiver.count("second") == 0
    leader.pause()
    receiver.wait_for_pings("second")
    seen = receiver.count("first")
    leader.signal(signal.SIGCONT)
    leader.wait_for_log("Another beat has taken the lead.")
    receiver.wait_for_pings("second")
    assert receiver.count("first") == seen
    standby.pause()
    leader.pause()
    receiver.wait_for_silence()
    leader.signal(signal.SIGCONT)
    standby.signal(signal.SIGCONT)


def test_broker_that_hangs(pinging: Callable[..., Beat], receiver: Receiver, tmp_path: Path) -> None:
    server, url = embedded.start_valkey(tmp_path)
    try:
        pinging("only", CELERY_BROKER_URL=url)
        receiver.wait_for_pings("only")
        server.freeze()
        receiver.wait_for_silence()
        server.thaw()
        receiver.wait_for_pings("only")
        server.crash()
        receiver.wait_for_silence()
    finally:
        server.stop()


def test_receiver_that_fails_or_hangs_delays_nothing(
    pinging: Callable[..., Beat], receiver: Receiver
) -> None:
    receiver.status = 500
    beat = pinging("secret-id")
    receiver.wait_for_pings("secret-id")
    beat.wait_for_log("PING_URL could not be requested. (HTTPError: HTTP Error 500: Internal Server Error)")
    receiver.go_on.clear()
    receiver.status = 200
    until = Lease.objects.get(name="beat").until
    wait_for(lambda: Lease.objects.get(name="beat").until > until, message="a renewal of the lease")
    beat.stop()
    assert beat.output().count("PING_URL could not be requested") == 1
    assert "secret-id" not in beat.output()
