"""How a process was started."""

from __future__ import annotations

import pytest
from kombu.connection import Connection

from scheduled_tasks.upkeep.startup import app_argument, broker_addresses


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("celery -A acme worker", "acme"),
        ("celery -Aacme worker", "acme"),
        ("celery --app config.celery_app beat", "config.celery_app"),
        ("celery --app=config.celery_app:app worker -c 2", "config.celery_app:app"),
        ("celery worker", ""),
        ("celery -A", ""),
        ("manage.py demo", ""),
    ],
)
def test_app_argument(command: str, expected: str) -> None:
    assert app_argument(command.split()) == expected


def test_app_argument_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP", "acme")
    assert app_argument(["celery", "worker"]) == "acme"
    assert app_argument(["celery", "-A", "other", "worker"]) == "other"


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        ("redis://user:secret@cache:6380/2", ["redis://cache:6380/2"]),
        ("redis://cache", ["redis://cache:6379/"]),
        ("redis://cache/0", ["redis://cache:6379/"]),
        ("amqp://", ["amqp://localhost:5672/"]),
        ("amqp://one/shop;amqp://two/shop", ["amqp://one:5672/shop", "amqp://two:5672/shop"]),
        ("nonsense://localhost", []),
    ],
)
def test_broker_addresses(urls: str, expected: list[str]) -> None:
    assert broker_addresses(lambda: Connection(urls)) == expected
