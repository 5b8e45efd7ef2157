"""The time part of a label: a few clock times, or a frequency."""

import re
from typing import NamedTuple

from django.utils.translation import gettext, ngettext

from .words import (
    EVERY_HOUR,
    EVERY_MINUTE,
    MOST_LISTED,
    Values,
    all_of,
    clock,
    even_gap,
    is_run,
    past,
    run_ends,
)


class Steps(NamedTuple):
    """The n of a minute and of an hour field written ``*/n``; 0 for any other text."""

    minute: int
    hour: int


def steps_of(canonical: str) -> Steps:
    """The steps written in the first two fields."""
    found = [re.fullmatch(r"\*/(\d+)", token) for token in canonical.split(" ")[:2]]
    return Steps(*(int(match[1]) if match else 0 for match in found))


def clock_times(minutes: Values, hours: Values, steps: Steps) -> str:
    """A few clock times, or nothing when they are better told as a frequency."""
    count = len(minutes) * len(hours)
    if steps.hour or count > MOST_LISTED:
        return ""
    if count > 3 and (steps.minute or (len(hours) > 1 and is_run(hours))):
        return ""
    return all_of(clock(hour, minute) for hour in sorted(hours) for minute in sorted(minutes))


def frequency(minutes: Values, hours: Values, steps: Steps, *, nightly: bool) -> str:
    """How often in which hours, or nothing. `nightly` when the hours may be told across midnight, which
    misleads where only some days match.
    """
    if hours == EVERY_HOUR:
        return _within_hours(minutes, steps)
    if len(minutes) == 1 and steps.hour:
        return _every_hours(steps.hour, min(minutes))
    if is_run(hours, 24 if nightly else 0):
        return _between(minutes, hours, steps)
    gap = even_gap(sorted(hours))
    if len(minutes) > 1 or not gap:
        return ""
    return ngettext(
        "Every %(count)d hour from %(first)s to %(last)s",
        "Every %(count)d hours from %(first)s to %(last)s",
        gap,
    ) % {"count": gap, "first": clock(min(hours), min(minutes)), "last": clock(max(hours), min(minutes))}


def _within_hours(minutes: Values, steps: Steps) -> str:
    if minutes == EVERY_MINUTE:
        return gettext("Every minute")
    if minutes == {0}:
        return gettext("Hourly")
    if steps.minute and len(minutes) > 1:
        n = steps.minute
        pattern = ngettext("Every %(count)d minute", "Every %(count)d minutes", n)
        if 60 % n:
            pattern = ngettext(
                "Every %(count)d minute from the start of each hour",
                "Every %(count)d minutes from the start of each hour",
                n,
            )
        return pattern % {"count": n}
    if len(minutes) <= MOST_LISTED:
        pattern = ngettext("Hourly at %(minutes)s", "Hourly at %(minutes)s", len(minutes))
        return pattern % {"minutes": all_of(map(past, sorted(minutes)))}
    return _stretch_of_hour(sorted(minutes))


def _stretch_of_hour(minutes: list[int]) -> str:
    gap = even_gap(minutes)
    params = {"count": gap, "first": past(minutes[0]), "last": past(minutes[-1])}
    if gap == 0:
        return ""
    if gap == 1:
        return gettext("Every minute from %(first)s to %(last)s of each hour") % params
    pattern = ngettext(
        "Every %(count)d minute from %(first)s to %(last)s of each hour",
        "Every %(count)d minutes from %(first)s to %(last)s of each hour",
        gap,
    )
    return pattern % params


def _every_hours(step: int, minute: int) -> str:
    if 24 % step:
        pattern = ngettext("Every %(count)d hour from midnight", "Every %(count)d hours from midnight", step)
    else:
        pattern = ngettext("Every %(count)d hour", "Every %(count)d hours", step)
    text = pattern % {"count": step}
    if minute == 0:
        return text
    return gettext("%(frequency)s at %(minute)s") % {"frequency": text, "minute": past(minute)}


def _between(minutes: Values, hours: Values, steps: Steps) -> str:
    first, last = run_ends(hours, 24)
    params = {"first": clock(first, min(minutes)), "last": clock(last, max(minutes))}
    if minutes == EVERY_MINUTE:
        return gettext("Every minute from %(first)s to %(last)s") % params
    if len(minutes) == 1:
        return gettext("Hourly from %(first)s to %(last)s") % params
    if steps.minute and (60 % steps.minute == 0 or len(hours) == 1):
        pattern = ngettext(
            "Every %(count)d minute from %(first)s to %(last)s",
            "Every %(count)d minutes from %(first)s to %(last)s",
            steps.minute,
        )
        return pattern % {**params, "count": steps.minute}
    if len(minutes) > MOST_LISTED or len(hours) == 1:
        return ""
    listed = all_of(map(past, sorted(minutes)))
    return gettext("Hourly at %(minutes)s from %(first)s to %(last)s") % {**params, "minutes": listed}
