"""Celery: the ``beat_schedule`` of another app, or a setting of this shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from celery import Celery
from django.utils.module_loading import import_string

from ..declarations import beat_schedule
from ..private import project_app
from ..validation import Invalid
from .found import Found

OWN = ("schedule", "timezone", "enabled", "args", "kwargs")
"""Values that :class:`.found.Found` has fields for."""


def items(place: str, zone: str) -> Iterator[tuple[str, Any]]:
    """The entries of the app, or the dict, at the dotted path ``place``."""
    if not place:
        raise Invalid("give the path of a Celery app or of a dict of entries: shop.celery.app.")
    try:
        owner = import_string(place.replace(":", "."))
    except (Exception, SystemExit) as error:  # a module may do anything
        raise Invalid(f"{place} cannot be imported ({error}).") from error
    app = owner if isinstance(owner, Celery) else project_app()
    entries = (owner.conf.beat_schedule or {}) if isinstance(owner, Celery) else owner
    if not isinstance(entries, Mapping):
        raise Invalid(f"{place} is neither a Celery app nor a dict of entries.")
    return ((str(name), (name, entry, app)) for name, entry in entries.items())


def find(item: tuple[Any, Mapping[str, Any], Celery]) -> Iterator[Found]:
    """An entry. Options that no stored task keeps are left out, with a note."""
    name, entry, app = item
    declared, lost = beat_schedule.of_entry(name, entry, app), beat_schedule.without_place(entry)
    values = declared.values
    yield Found(
        name=declared.name,
        path=declared.task,
        **{key: values[key] for key in OWN},
        options={key: value for key, value in values.items() if key not in OWN},
        note=f"No stored task keeps its options {', '.join(lost)}." if lost else "",
    )
