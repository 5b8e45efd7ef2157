"""A time at which a task runs once: its text, its words, and what may be typed as one."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django_celery_beat.models import ClockedSchedule

from .moments import compact
from .typed_moments import InvalidMoment

FORMATS = ("%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S.%f UTC")
"""Of the text that stands for the time: without and with a fraction of a second."""


def once_text(at: datetime) -> str:
    """The time as text: ``"2026-11-29 22:00:00 UTC"``."""
    at = at.astimezone(UTC)
    return at.strftime(FORMATS[bool(at.microsecond)])


def parse_once(text: str) -> datetime | None:
    """The time that :func:`once_text` wrote; None for any other text."""
    for pattern in FORMATS:
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def once_label(at: datetime, zone: ZoneInfo, *, has_run: bool = False) -> str:
    """``"Once, Sun 29 Nov 23:00"``, or of one that has run ``"Once, ran Sun 29 Nov 23:00"``."""
    text = _("Once, ran %(moment)s") if has_run else _("Once, %(moment)s")
    return text % {"moment": compact(at, zone)}


def check_once(at: datetime, now: datetime) -> ClockedSchedule:
    """The schedule of a task that is to run once, not stored. Raises InvalidMoment for a past time."""
    if at <= now:
        raise InvalidMoment(_("This time is past. Choose one that is to come."))
    return ClockedSchedule(clocked_time=at.astimezone(UTC))
