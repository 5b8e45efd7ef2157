"""Cron schedules in plain words, in the active language.

A label is a time ("3 AM and 5 PM", or "every 15 minutes from 9 AM to 5:45 PM") put into the pattern of its
days ("Weekdays at ...", "... on weekdays"). Both are read off the values a field matches, so two spellings
of one schedule mostly read alike. What has no pattern goes to cron-descriptor, which only speaks English
reliably; elsewhere the canonical text stands for itself.
"""

from collections.abc import Sequence

from django.utils.functional import Promise
from django.utils.translation import get_language, gettext, gettext_lazy

from .days import day_pattern
from .times import clock_times, frequency, steps_of
from .words import EVERY_DAY, EVERY_HOUR, EVERY_MINUTE, EVERY_MONTH, EVERY_WEEKDAY, Values

NOTICES: dict[str, Promise] = {
    "both_days": gettext_lazy(
        "Runs only on days that match both the date and the weekday (crontab would run on either)."
    ),
    "far": gettext_lazy("The first run is more than a year away."),
    "clock_change": gettext_lazy(
        "On daylight-saving changes, a skipped time runs one hour later and a repeated hour runs once. "
        "Schedules in UTC are not affected."
    ),
}
"""One sentence for each notice of ``CronExpression.notices`` and ``notices_for``, by code."""


def label(canonical: str, values: Sequence[Values]) -> str:
    """`canonical`, five fields that match `values`, in plain words."""
    return pattern_label(canonical, values) or _fallback(canonical, values)


def pattern_label(canonical: str, values: Sequence[Values]) -> str:
    """The label where the patterns have one, which ``phrases`` reads back, else nothing."""
    minutes, hours, days, months, weekdays = values
    steps = steps_of(canonical)
    pattern = day_pattern(days, months, weekdays)
    if pattern is None:
        return ""
    if times := clock_times(minutes, hours, steps):
        return pattern.at % {**pattern.params, "times": times}
    nightly = days == EVERY_DAY and weekdays == EVERY_WEEKDAY
    if often := frequency(minutes, hours, steps, nightly=nightly):
        return pattern.every % {**pattern.params, "frequency": often}
    return ""


def _fallback(canonical: str, values: Sequence[Values]) -> str:
    if not (get_language() or "en").startswith("en"):
        return canonical
    try:
        text = _described(values)
    except Exception:  # noqa: BLE001 - it has bugs, and a label must never take a page down
        return canonical
    _, _, days, _, weekdays = values
    if days != EVERY_DAY and weekdays != EVERY_WEEKDAY:
        return gettext("%(label)s (both the date and the weekday must match)") % {"label": text}
    return text


def _described(values: Sequence[Values]) -> str:
    """cron-descriptor's words, asked for one kind of field at a time.

    How it joins a date and a weekday ("only on", "or on") depends on its version. Steps are written out,
    because it reads them as true intervals.
    """
    full = (EVERY_MINUTE, EVERY_HOUR, EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY)
    minutes, hours, days, months, weekdays = (
        "*" if each == every else _ranges(sorted(each)) for each, every in zip(values, full, strict=True)
    )
    if len(values[0]) == 1 and hours != "*":
        hours = ",".join(map(str, sorted(values[1])))  # "1-2" would read as the whole of both hours
    time = _descriptor(f"{minutes} {hours} * * *")
    rest = (f"* * {days} * *", f"* * * * {weekdays}", f"* * * {months} *")
    return time + "".join(_descriptor(text).removeprefix("Every minute") for text in rest)


def _descriptor(expression: str) -> str:
    from cron_descriptor import ExpressionDescriptor, Options  # here, because only rare schedules need it

    options = Options()
    options.locale_code = "en_US"
    options.use_24hour_time_format = False
    return str(ExpressionDescriptor(expression, options).get_description())


def _ranges(values: list[int]) -> str:
    starts = [value for value in values if value - 1 not in values]
    ends = [value for value in values if value + 1 not in values]
    return ",".join(
        str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True)
    )
