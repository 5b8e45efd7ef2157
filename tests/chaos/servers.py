"""A broker and a database of a test's own, behind doors, that it may crash as it likes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

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
def own_postgres(home: Path, *, within: Sequence[str] = ()) -> Iterator[Place]:
    """A PostgreSQL of the test's own with a migrated database, which Django uses meanwhile.

    It keeps what it has confirmed. What crashes is the server and not the machine, so that this does not take
    ``fsync``. Killed by SIGKILL, the main process would leave others behind that hinder its restart.
    ``within`` is a command that runs it.
    """
    with ExitStack() as stack:
        server, url = embedded.start_postgres(home, NAME, within=within, synchronous_commit="on")
        stack.callback(server.stop)
        stack.enter_context(redirected(url))
        yield Place(url, stack.enter_context(Proxy(url)), server, death=signal.SIGQUIT)


@contextmanager
def own_mariadb(home: Path) -> Iterator[Place]:
    """The same with this machine's MariaDB, which is one process."""
    with ExitStack() as stack:
        server, url = embedded.start_mariadb(home, NAME)
        stack.callback(server.stop)
        stack.enter_context(redirected(url))
        yield Place(url, stack.enter_context(Proxy(url)), server)


def given_database() -> AbstractContextManager[Place]:
    """The database server of the whole test run, which others use as well."""
    return _behind_a_door(os.environ["DATABASE_URL"])


def given_broker() -> AbstractContextManager[Place]:
    """The broker of the whole test run, which others may use as well."""
    return _behind_a_door(os.environ["CELERY_BROKER_URL"])


@contextmanager
def _behind_a_door(url: str) -> Iterator[Place]:
    with Proxy(url) as door:
        yield Place(url, door)


def own_database(home: Path) -> AbstractContextManager[Place | None]:
    """A server of the kind that is tested; MariaDB only where the machine has it, None for a file."""
    if connection.vendor == "postgresql":
        return own_postgres(home)
    if connection.vendor == "mysql":
        return own_mariadb(home) if embedded.mariadb_program() else given_database()
    return nullcontext()


@contextmanager
def redirected(url: str) -> Iterator[None]:
    """Make Django use the database that ``url`` names, which is made first."""
    parts = urlsplit(url)
    connection.close()
    before = connection.settings_dict
    there = {"HOST": parts.hostname, "PORT": parts.port, "USER": parts.username, "PASSWORD": "", "NAME": NAME}
    connection.settings_dict = {**before, **there}
    try:
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {NAME}")
        call_command("migrate", verbosity=0)
        yield
    finally:
        connection.close()
        connection.settings_dict = before
