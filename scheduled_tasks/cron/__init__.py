"""Cron: text to expression, its words and its next runs. Imports no Django model."""

from .expression import CronExpression, known_zone
from .grammar import InvalidCron

__all__ = ["CronExpression", "InvalidCron", "known_zone"]
