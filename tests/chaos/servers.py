"""A broker and a database of a test's own, behind doors, that it may crash as it likes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg
from django.core.management import call_command
from django.db import connection

from tests import embedded
from tests.chaos.proxy import Proxy

NAME = "test_chaos"


@dataclass
class Place:
    """A server's own address, the door before it, and the server where it is the test's own."""

    url: str
    door: Proxy
    server: embedded.Server | None = None
    death: int = signal.SIGKILL

    def crash(self) -> None:
        """End the server at once; ``restart()`` brings it back with all that it has confirmed."""
        assert self.server is not None
        self.server.crash(self.death)

    def restart(self) -> None:
        assert self.server is not None
        self.server.start()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Inside there is no such server."""
        self.crash()
        yield
        self.restart()
        connection.close()


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that PostgreSQL's account may enter too."""
    with TemporaryDirectory(prefix="scheduled-tasks-chaos-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def own_broker(home: Path) -> Iterator[Place]:
    """A Valkey of the test's own."""
    with ExitStack() as stack:
        server, url = embedded.start_valkey(home)
        stack.callback(server.stop)
        yield Place(url, stack.enter_context(Proxy(url)), server)


@contextmanager
def own_postgres(home: Path) -> Iterator[Place]:
    """A PostgreSQL of the test's own with a migrated database, which Django uses meanwhile.

    It keeps what it has confirmed. What crashes is the server and not the machine, so that this does not take
    ``fsync``. Killed by SIGKILL, the main process would leave others behind that hinder its restart.
    """
    with ExitStack() as stack:
        server, url = embedded.start_postgres(home, NAME, synchronous_commit="on")
        stack.callback(server.stop)
        stack.enter_context(redirected(url))
        yield Place(url, stack.enter_context(Proxy(url)), server, death=signal.SIGQUIT)


@contextmanager
def given_database() -> Iterator[Place]:
    """The database server of the whole test run, which others use as well."""
    url = os.environ["DATABASE_URL"]
    with Proxy(url) as door:
        yield Place(url, door)


@contextmanager
def redirected(url: str) -> Iterator[None]:
    """Make Django use the PostgreSQL database that ``url`` names, which is made first."""
    parts = urlsplit(url)
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {NAME}")
    connection.close()
    before = connection.settings_dict
    there = {"HOST": parts.hostname, "PORT": parts.port, "USER": parts.username, "PASSWORD": "", "NAME": NAME}
    connection.settings_dict = {**before, **there}
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connection.close()
        connection.settings_dict = before
