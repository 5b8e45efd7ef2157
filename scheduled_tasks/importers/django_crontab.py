"""django-crontab: the functions of the setting ``CRONJOBS``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .found import Found, listed


def items(place: str, zone: str) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Its jobs; they run in the time zone of the host's cron, which no setting tells."""
    for number, job in enumerate(listed("CRONJOBS")):
        yield f"CRONJOBS[{number}]", (job, zone)


def find(item: tuple[Sequence[Any], str]) -> Iterator[Found]:
    """A job: when, which function, then a text for the shell or its arguments."""
    job, zone = item
    schedule, path, *rest = job
    if rest and isinstance(rest[0], str):
        rest = [[], {}, rest[0]]
    defaults: list[Any] = [[], {}, ""]
    args, kwargs, suffix = [*rest, *defaults[len(rest) :]]
    yield Found(
        name=path,
        schedule=schedule,
        path=path,
        timezone=zone,
        args=args,
        kwargs=kwargs,
        either_day=True,
        note=f"Its “{suffix}” for the shell is left out." if suffix else "",
    )
