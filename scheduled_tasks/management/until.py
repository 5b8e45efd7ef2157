"""A moment to come, as it is typed on a command line."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime

from ..models import database_now
from ..schedules import current_zone
from ..typed_moments import InvalidMoment, read_moment


def moment_to_come(text: str) -> datetime:
    """``30m``, ``2h`` or ``1d`` from now, ``06:00`` (the next one), or an ISO date with a time.

    Without a zone it is in Django's current time zone. All that :func:`..typed_moments.read_moment` reads is
    taken. Raises ArgumentTypeError for any other text.
    """
    try:
        return read_moment(text, database_now(), current_zone())
    except InvalidMoment as error:
        message = f"{text!r} is no time: write 30m, 2h, 06:00 or 2026-12-01T06:00."
        raise ArgumentTypeError(message) from error
