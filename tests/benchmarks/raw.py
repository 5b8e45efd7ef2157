"""The least that recording can cost: one INSERT and one UPDATE by the database's driver, nothing else."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime
from typing import Any

from celery import signals

TABLE = """
CREATE TABLE IF NOT EXISTS raw_run (
    celery_id varchar(255) PRIMARY KEY, name varchar(200), status varchar(9),
    started_at {time}, finished_at {time}
)
"""
URL = os.environ.get("DATABASE_URL", "")
SQLITE = URL.startswith("sqlite")
MARK = "?" if SQLITE else "%s"
START = (
    f"INSERT INTO raw_run (celery_id, name, status, started_at) VALUES ({MARK}, {MARK}, 'running', {MARK})"
)
END = f"UPDATE raw_run SET status = 'succeeded', finished_at = {MARK} WHERE celery_id = {MARK}"

_connection: Any = None


def open_connection() -> Any:
    if SQLITE:
        connection = sqlite3.connect(URL.removeprefix("sqlite:///"), timeout=20, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection
    import psycopg

    return psycopg.connect(URL, autocommit=True)


def make_table() -> None:
    with open_connection() as connection:
        connection.execute(TABLE.format(time="text" if SQLITE else "timestamptz"))


def now() -> Any:
    moment = datetime.now(UTC)
    return str(moment) if SQLITE else moment


def on_prerun(task_id: str, task: Any, **_: Any) -> None:
    global _connection
    if _connection is None:
        _connection = open_connection()
    _connection.execute(START, (task_id, task.name, now()))


def on_postrun(task_id: str, **_: Any) -> None:
    _connection.execute(END, (now(), task_id))


def connect() -> None:
    signals.task_prerun.connect(on_prerun, weak=False)
    signals.task_postrun.connect(on_postrun, weak=False)


def disconnect() -> None:
    signals.task_prerun.disconnect(on_prerun)
    signals.task_postrun.disconnect(on_postrun)
