"""Workers that notice soon what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.chaos.proxy import Proxy
from tests.chaos.servers import Place, own_broker, own_postgres, public_directory
from tests.live import Worker

IMPATIENT = ["-I", "tests.chaos.impatient"]


@pytest.fixture
def start_impatient(start_worker: Callable[..., Worker]) -> Callable[..., Worker]:
    """As ``start_worker``, for a worker that takes others for dead after ten seconds."""

    def start(*, env: dict[str, str] | None = None, options: tuple[str, ...] = (), **more: object) -> Worker:
        env = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", **(env or {})}
        return start_worker(env=env, options=[*IMPATIENT, *options], **more)

    return start


@pytest.fixture
def database_door() -> Iterator[Proxy]:
    """A door before the database server; skips where the database is a file."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no server that could be away")
    with Proxy(os.environ["DATABASE_URL"]) as proxy:
        yield proxy


@pytest.fixture
def result_door(tmp_path: Path) -> Iterator[Proxy]:
    """A door before a result backend, which need not be where the broker is."""
    with own_broker(tmp_path) as place:
        yield place.door


@pytest.fixture
def broker_door() -> Iterator[Proxy]:
    """A door before broker and result backend."""
    with Proxy(os.environ["CELERY_BROKER_URL"]) as proxy:
        yield proxy


@pytest.fixture
def postgres(transactional_db: None) -> Iterator[Place]:
    """A PostgreSQL of the test's own; skips where the tests use another database."""
    if connection.vendor != "postgresql":
        pytest.skip("needs a PostgreSQL of its own")
    with public_directory() as home, own_postgres(home) as place:
        yield place
