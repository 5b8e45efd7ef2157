"""RedBeat: the entries that it keeps in Redis, at the project's ``redbeat_redis_url``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..private import project_app
from ..validation import Invalid
from . import beat_entries
from .found import Found


def items(place: str, zone: str) -> Iterator[tuple[str, Any]]:
    """Its entries by key."""
    try:
        from redbeat import schedulers
        from redis import RedisError
    except ImportError:
        raise Invalid("RedBeat is not installed: pip install celery-redbeat.") from None
    app: Any = project_app()
    schedulers.ensure_conf(app)
    try:
        keys = schedulers.get_redis(app).zrange(app.redbeat_conf.schedule_key, 0, -1)
    except RedisError as error:
        raise Invalid(f"RedBeat's Redis cannot be read: {error}") from error
    return ((key, key) for key in keys)


def find(key: str) -> Iterator[Found]:
    """An entry, as an entry of ``beat_schedule``."""
    from redbeat.schedulers import RedBeatSchedulerEntry

    app = project_app()
    kept = RedBeatSchedulerEntry.load_definition(key, app)
    entry = {name: value for name, value in kept.items() if value is not None}
    yield from beat_entries.find((kept["name"], entry, app))
