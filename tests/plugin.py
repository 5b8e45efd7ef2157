"""Chooses the database and the broker of one test run, and has them there before Django reads its settings.

``--db`` says which kind of database: ``sqlite`` (a file), ``postgres`` or ``mariadb``. PostgreSQL comes from
a wheel unless ``TEST_PG_URL`` names a server; MariaDB is the one that ``TEST_MARIADB_URL`` names. The broker
is a Valkey from a wheel unless ``TEST_BROKER_URL`` names another. A database server that is named keeps all
it has: the run makes a database of its own there, called like the one in the address with ``test_`` before
it, and drops it at the end. ``TEST_RESULTS`` is the directory for the logs of worker and beat and for
pictures of failed pages, ``test-results`` by default.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import embedded

SERVERS = {"postgres": "TEST_PG_URL", "mariadb": "TEST_MARIADB_URL"}
RESULTS = Path(os.environ.get("TEST_RESULTS", "test-results"))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scheduled tasks")
    group.addoption("--db", choices=["sqlite", *SERVERS], default="sqlite", help="database to run against")
    group.addoption("--only-db", action="store_true", help="leave out the tests that use no database")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    options = early_config.known_args_namespace
    if not (options.help or options.version):
        shutil.rmtree(RESULTS / options.db, ignore_errors=True)
        # pytest-playwright keeps an event loop in the main thread, which Django takes for an async view.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        stack = ExitStack()
        early_config.add_cleanup(stack.close)
        prepare(options.db, stack)
    return (yield)


def prepare(kind: str, stack: ExitStack) -> None:
    """Start what is not named by the environment, and say where it is as the example project expects it."""
    home = Path(tempfile.mkdtemp(prefix="scheduled-tasks-tests-"))
    home.chmod(0o711)
    stack.callback(shutil.rmtree, home, ignore_errors=True)
    broker = os.environ.get("TEST_BROKER_URL")
    if not broker:
        valkey, broker = embedded.start_valkey(home)
        stack.callback(valkey.stop)
    os.environ["DEMO_DIR"] = str(home / "site")
    os.environ["CELERY_BROKER_URL"] = broker
    os.environ["DATABASE_URL"] = database_url(kind, home, stack)


def database_url(kind: str, home: Path, stack: ExitStack) -> str:
    """The address of the database that this run creates and drops."""
    if kind == "sqlite":
        return f"sqlite:///{home}/test.sqlite3"
    named = os.environ.get(SERVERS[kind])
    if named:
        parts = urlsplit(named)
        return parts._replace(path="/test_" + (parts.path.strip("/") or "scheduled_tasks")).geturl()
    if kind == "mariadb":
        raise pytest.UsageError("--db=mariadb: name a server, TEST_MARIADB_URL=mysql://root@127.0.0.1:3306/")
    postgres, url = embedded.start_postgres(home, "test_scheduled_tasks")
    stack.callback(postgres.stop)
    return url


def pytest_configure(config: pytest.Config) -> None:
    if config.option.output == "test-results":
        config.option.output = str(RESULTS / config.option.db / "browser")


def pytest_report_header(config: pytest.Config) -> str:
    kind = config.option.db
    named = os.environ.get(SERVERS.get(kind, ""))
    server = "a file" if kind == "sqlite" else f"as {SERVERS[kind]} says" if named else "embedded"
    broker = "as TEST_BROKER_URL says" if os.environ.get("TEST_BROKER_URL") else "embedded Valkey"
    return f"database: {kind}, {server}; broker: {broker}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run tests kind by kind.

    The worker that a run shares starts as late as possible: it would take what unit tests send, and report
    itself in the middle of a page's test.
    """
    items.sort(key=kind)
    if config.option.only_db:
        config.hook.pytest_deselected(items=[item for item in items if not uses_database(item)])
        items[:] = [item for item in items if uses_database(item)]


def kind(item: pytest.Item) -> tuple[bool, bool]:
    wants_worker = "worker" in getattr(item, "fixturenames", ())
    is_page = item.get_closest_marker("e2e") is not None
    return (item.get_closest_marker("integration") is not None or wants_worker, is_page)


def uses_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(fixtures & {"db", "transactional_db"}) or item.get_closest_marker("django_db") is not None
