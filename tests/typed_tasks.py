"""A Celery task with a parameter of each type that a form knows."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Literal
from uuid import UUID

from celery import shared_task


class Color(Enum):
    """What a task may be painted in."""

    RED = "r"
    BLUE = "b"


@shared_task
def tell_types(
    text: str,
    number: int,
    ratio: float,
    is_dry: bool,
    day: date,
    at: datetime,
    key: UUID,
    price: Decimal,
    days: list[date],
    level: Literal["low", "high"],
    *,
    color: Color = Color.RED,
    wait: timedelta | None = None,
    options: dict[str, int] | None = None,
) -> dict[str, str]:
    """Tell of each argument what has arrived.

    Its signature has each type that a form knows.
    """
    return {name: repr(value) for name, value in locals().items()}
