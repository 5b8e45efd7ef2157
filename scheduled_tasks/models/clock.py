"""Time as the database tells it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class UtcNow(models.Func):
    """The database server's clock, in UTC, at the start of the statement.

    Django's ``Now()`` is the server's local time on MariaDB and the transaction's start on PostgreSQL;
    a host's clock is not shared by the machines that compare these times.
    """

    template = "STATEMENT_TIMESTAMP()"
    output_field = models.DateTimeField()

    def get_db_converters(self, connection: BaseDatabaseWrapper) -> list[Any]:
        return [lambda value, _expression, connection: as_told(value, connection)]

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # Doubled twice: for the template and for the statement's own parameters.
        moment = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'now')"
        return self.as_sql(compiler, connection, template=moment, **context)


NOW = UtcNow()


def now_sql(connection: BaseDatabaseWrapper) -> str:
    """:class:`UtcNow` for a statement written by hand, without parameters."""
    as_sql: Any = getattr(NOW, f"as_{connection.vendor}", NOW.as_sql)
    sql, _params = as_sql(None, connection)
    return str(sql % ())


def told_by_clock(value: str | datetime) -> datetime:
    """What a driver makes of :func:`now_sql`, aware, in UTC."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def as_told(moment: datetime | None, connection: BaseDatabaseWrapper) -> datetime | None:
    """What Django makes of :class:`UtcNow`, in UTC whatever zone the connection stores times in."""
    if moment is None or moment.tzinfo is None or connection.features.supports_timezones:
        return moment
    return moment.replace(tzinfo=UTC)


def elapsed(start: datetime | None, end: datetime | None) -> timedelta | None:
    """From one moment to another, never negative; None when either is not known."""
    return None if start is None or end is None else max(end - start, timedelta(0))
