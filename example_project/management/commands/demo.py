"""``manage.py demo``: the whole site in one command."""

import contextlib
import os
import shutil
import socket
import sys
import time
from argparse import ArgumentParser
from io import StringIO
from pathlib import Path
from typing import Any, TextIO
from urllib.request import ProxyHandler, build_opener

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from example_project import broker
from example_project.celery import app
from example_project.sample_data import PEOPLE, ensure_history, ensure_people
from example_project.sample_runs import SAMPLE, ensure_past_runs
from example_project.supervisor import ChildEnded, Supervisor
from scheduled_tasks.reading.health import problems
from scheduled_tasks.reading.machinery import Machinery

CYAN, GREEN, YELLOW, MAGENTA = 36, 32, 33, 35
START_TIME, HEALTH_TIME = 60, 20
"""Seconds the page may take to answer, and then worker and beat to report themselves."""


class Command(BaseCommand):
    """Starts a broker, the web server, a worker and beat; Ctrl-C stops them."""

    help = (
        "Starts this site with a broker, a worker and beat, and says where its page is. Ctrl-C stops it all."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the page; another one when taken")
        parser.add_argument(
            "--reset", action="store_true", help="forget what earlier starts left in the data directory"
        )

    def handle(self, *, port: int, reset: bool, **options: Any) -> None:
        if sys.platform == "win32":
            raise CommandError("The demo needs Linux or macOS, as Celery's workers do: run it in WSL.")
        wanted, port = port, listening_port(port)
        lock = lock_directory(settings.DATA_DIR)
        if reset:
            forget(settings.DATA_DIR)
        colour = options["force_color"] or (not options["no_color"] and takes_colour(sys.stdout))
        with Supervisor(sys.stdout, colour=colour, inherit=[lock.fileno()]) as supervisor:
            if port != wanted:
                supervisor.say(f"Port {wanted} is taken; the page gets port {port}.")
            env = os.environ | {
                "SITE_URL": f"http://127.0.0.1:{port}",
                "PYTHONUNBUFFERED": "1",
                "DJANGO_RUNSERVER_HIDE_WARNING": "true",
            }
            env["CELERY_BROKER_URL"] = start_broker(supervisor, env)
            supervisor.say("Preparing the database")
            prepare_database()
            settings.EXCHANGE_RATES_FILE.unlink(missing_ok=True)
            start_site(supervisor, env, port)
            supervisor.say(welcome(env["SITE_URL"]))
            supervisor.wait()


def takes_colour(output: TextIO) -> bool:
    """Whether ``output`` is a terminal whose owner did not ask for plain text (see https://no-color.org)."""
    return output.isatty() and not os.environ.get("NO_COLOR")


def listening_port(wanted: int) -> int:
    """``wanted``, or a free port when somebody listens there already."""
    if not 0 < wanted < 65536:
        raise CommandError(f"{wanted} is not a port: choose one from 1024 to 65535, for example --port 8000.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except PermissionError:
            raise CommandError(
                f"This machine does not let you listen on port {wanted}: choose one from 1024 up, "
                "for example --port 8000."
            ) from None
        except OSError:
            return broker.free_port()
    return wanted


def lock_directory(directory: Path, *, seconds: float = 10) -> TextIO:
    """Make the data directory and keep other demonstrations out of it; hold on to what this returns."""
    import fcntl  # not on Windows, where handle() says so

    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("a")
    except OSError as error:
        raise CommandError(
            f"The data directory {directory} cannot be used: {error.strerror}. "
            "Make it a directory you can write to, or set DEMO_DIR to another."
        ) from error
    # A demonstration that was killed a moment ago takes some seconds to end its processes.
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise CommandError(
                    f"A demo runs on {directory} already: stop it, or set DEMO_DIR to another directory."
                ) from None
            time.sleep(0.2)
        else:
            return lock


def forget(directory: Path) -> None:
    """Delete what earlier demonstrations left; nothing else that may lie there, and no other database."""
    for name in ["files", "mail", "valkey"]:
        shutil.rmtree(directory / name, ignore_errors=True)
    try:
        for file in directory.glob("db.sqlite3*"):
            file.unlink()
    except OSError as error:
        raise CommandError(
            f"{error.filename} cannot be deleted: {error.strerror}. Delete it yourself."
        ) from error


def start_broker(supervisor: Supervisor, env: dict[str, str]) -> str:
    """The address of the broker the environment names, or of one started here."""
    if settings.CELERY_BROKER_URL != "memory://":
        check_broker()
        return settings.CELERY_BROKER_URL
    data, port = settings.DATA_DIR / "valkey", broker.free_port()
    try:
        data.mkdir(exist_ok=True)
        command = broker.server_command(port, data)
        child = supervisor.start("broker", command, env=env, colour=YELLOW)
        supervisor.wait_until(lambda: broker.answers(port), child, seconds=20)
    except broker.NoBroker as error:
        raise CommandError(str(error)) from error
    except (ChildEnded, TimeoutError, OSError) as error:
        raise CommandError(
            f"The broker does not start on the data in {data}: `python manage.py demo --reset` starts afresh."
        ) from error
    return f"redis://127.0.0.1:{port}/0"


def check_broker() -> None:
    """Raise CommandError when the broker of the environment cannot be reached."""
    with app.connection_for_write(connect_timeout=5) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=10)
        except Exception as error:
            raise CommandError(
                f"The broker at {connection.as_uri()} does not answer ({error}): start it, or unset "
                "CELERY_BROKER_URL and REDIS_URL to use one that comes with the demo."
            ) from error


def prepare_database() -> None:
    """Make tables, scheduled tasks, users and sample rows, each only where missing."""
    try:
        call_command("migrate", verbosity=0, interactive=False)
        call_command("sync_scheduled_tasks", stdout=StringIO())
        ensure_people()
        ensure_history()
        ensure_past_runs()
    except DatabaseError as error:
        remedy = (
            "check DATABASE_URL" if os.environ.get("DATABASE_URL") else "--reset starts with an empty one"
        )
        reason = " ".join(str(error).split())
        raise CommandError(f"The database cannot be used ({reason}): {remedy}.") from error
    finally:
        with contextlib.suppress(DatabaseError):
            connections.close_all()


def start_site(supervisor: Supervisor, env: dict[str, str], port: int) -> None:
    """Start web server, worker and beat, and wait until the page answers."""
    python, celery = [sys.executable], [sys.executable, "-m", "celery", "-q", "-A", "example_project"]
    manage = str(settings.BASE_DIR / "manage.py")
    web = supervisor.start(
        "web",
        [*python, manage, "runserver", "--noreload", "--skip-checks", f"127.0.0.1:{port}"],
        env=env,
        colour=CYAN,
    )
    worker = supervisor.start(
        "worker",
        [*celery, "worker", "--concurrency=2", "--loglevel=INFO", "--hostname=demo@%h"],
        env=env,
        colour=GREEN,
    )
    supervisor.start("beat", [*celery, "beat", "--pidfile=", "--loglevel=INFO"], env=env, colour=MAGENTA)
    try:
        supervisor.wait_until(lambda: page_answers(env["SITE_URL"]), web, seconds=START_TIME)
    except ChildEnded as error:
        raise CommandError(
            "The web server ended before its page answered; its last lines say why."
        ) from error
    except TimeoutError as error:
        raise CommandError(
            f"The page did not answer within {START_TIME} s; the lines above say why."
        ) from error
    with contextlib.suppress(ChildEnded, TimeoutError):  # then the page says what is missing
        supervisor.wait_until(is_healthy, worker, seconds=HEALTH_TIME)


def is_healthy() -> bool:
    """Whether the page has nothing to complain of: the worker and beat are there."""
    try:
        return not {problem.code for problem in problems(Machinery.read())} & {"beat", "worker", "queue"}
    except DatabaseError:
        return False
    finally:
        connections.close_all()


def page_answers(site: str) -> bool:
    """Whether the site shows its login page."""
    try:
        with build_opener(ProxyHandler({})).open(f"{site}/admin/login/", timeout=5):
            return True
    except OSError:
        return False


def welcome(site: str) -> str:
    """Where the page is, who may enter it, and where the mail lies."""
    people = "\n".join(f"    {name:<14}{name:<14}{rights}" for name, rights in PEOPLE.items())
    return (
        f"\n  The page is ready: {site}/admin/scheduled-tasks/\n\n"
        f"    {'user':<14}{'password':<14}\n{people}\n\n"
        f"  Runs by the worker {SAMPLE} are sample data: a fortnight for the pages to show.\n\n"
        "  exchange-rate-sync fails until you run rates-source-repair. Mail about its incident lies in\n"
        f"  {settings.EMAIL_FILE_PATH}\n\n"
        "  Ctrl-C stops everything.\n"
    )
