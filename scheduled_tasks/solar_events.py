"""Sunrise, dusk and the like at a place: their text, their words, and what may be typed as one."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils.translation import gettext as _
from django_celery_beat.models import SOLAR_SCHEDULES, SolarSchedule

SOLAR = re.compile(r"(\w+) at (-?[0-9.]+), (-?[0-9.]+)")
"""A solar event as :func:`solar_text` writes it."""

DAY = (
    "dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise", "solar_noon",
    "sunset", "dusk_civil", "dusk_nautical", "dusk_astronomical",
)  # fmt: skip

EVENTS = {code: dict(SOLAR_SCHEDULES)[code] for code in DAY}
"""django-celery-beat's name of each event by its code, in the order of a day."""

MICRODEGREE = Decimal("0.000001")
"""How exactly a place is kept."""


class InvalidSolar(ValueError):
    """What was typed is no solar event; its text is one sentence in the active language.

    ``field`` is which part is wrong: ``"event"``, ``"latitude"`` or ``"longitude"``.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def solar_text(row: SolarSchedule) -> str:
    """``"sunset at 48.856600, 2.352200"``."""
    return f"{row.event} at {row.latitude}, {row.longitude}"


def parse_solar(text: str) -> dict[str, Any] | None:
    """The columns of the row that :func:`solar_text` wrote; None for any other text."""
    found = SOLAR.fullmatch(text)
    try:
        place = {"latitude": Decimal(found[2]), "longitude": Decimal(found[3])} if found else {}
    except InvalidOperation:
        return None
    return {"event": found[1], **place} if found else None


def solar_label(row: SolarSchedule) -> str:
    """The event and its place in plain words, in the active language."""
    return _("%(event)s at %(latitude)s, %(longitude)s") % {
        "event": row.get_event_display(),
        "latitude": f"{row.latitude.normalize():f}",
        "longitude": f"{row.longitude.normalize():f}",
    }


def read_solar(event: str, latitude: str, longitude: str) -> SolarSchedule:
    """The solar event that was typed, not stored. Raises :class:`InvalidSolar`."""
    if event not in EVENTS:
        raise InvalidSolar("event", _("Choose one of the events of the sun."))
    north = _degrees(latitude, 90)
    if north is None:
        raise InvalidSolar("latitude", _("Enter the latitude in degrees, from -90 to 90, such as 48.8566."))
    east = _degrees(longitude, 180)
    if east is None:
        raise InvalidSolar(
            "longitude", _("Enter the longitude in degrees, from -180 to 180, such as 2.3522.")
        )
    return SolarSchedule(event=event, latitude=north, longitude=east)


def _degrees(typed: str, most: int) -> Decimal | None:
    text = typed.strip().replace(",", ".").removesuffix("°")
    if not re.fullmatch(r"[+-]?[0-9]{1,3}(\.[0-9]{0,20})?", text):
        return None
    found = Decimal(text).quantize(MICRODEGREE)
    return found if abs(found) <= most else None
