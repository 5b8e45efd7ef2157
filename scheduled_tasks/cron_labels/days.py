"""The day part of a label: the pattern that a time is put into."""

from typing import NamedTuple

from django.utils.dates import MONTHS
from django.utils.translation import gettext, ngettext

from .words import (
    EVEN_DAYS,
    EVERY_DAY,
    EVERY_MONTH,
    EVERY_WEEKDAY,
    MOST_LISTED,
    ODD_DAYS,
    WEEKDAY,
    WEEKEND,
    WORKING_DAYS,
    Values,
    all_of,
    any_of,
    date_of_month,
    is_run,
    is_span,
    month_names,
    ordinal,
    run_ends,
    weekday_names,
)


class DayPattern(NamedTuple):
    """How one kind of day set is worded: around clock times, after a frequency, and with what."""

    at: str
    every: str
    params: dict[str, str] = {}


def day_pattern(days: Values, months: Values, weekdays: Values) -> DayPattern | None:
    if days == EVERY_DAY:
        pattern: DayPattern | None = _on_weekdays(weekdays)
    elif weekdays != EVERY_WEEKDAY:
        pattern = _on_both(days, weekdays)
    elif months == EVERY_MONTH or days in (ODD_DAYS, EVEN_DAYS) or len(days) > MOST_LISTED or is_span(days):
        pattern = _on_dates(days)
    else:
        return _on_dates_of(days, months)
    return pattern if pattern is None or months == EVERY_MONTH else _in_months(pattern, months)


def _on_weekdays(weekdays: Values) -> DayPattern:
    if weekdays == EVERY_WEEKDAY:
        return DayPattern(gettext("Daily at %(times)s"), "%(frequency)s")
    if weekdays == WORKING_DAYS:
        return DayPattern(gettext("Weekdays at %(times)s"), gettext("%(frequency)s on weekdays"))
    if weekdays == WEEKEND:
        return DayPattern(gettext("Weekends at %(times)s"), gettext("%(frequency)s on weekends"))
    if len(weekdays) == 6:
        return DayPattern(
            gettext("Daily except %(days)s at %(times)s"),
            gettext("%(frequency)s except on %(days)s"),
            {"days": weekday_names(EVERY_WEEKDAY - weekdays)},
        )
    return DayPattern(
        gettext("%(days)s at %(times)s"),
        gettext("%(frequency)s on %(days)s"),
        {"days": weekday_names(weekdays)},
    )


def _on_dates(days: Values) -> DayPattern | None:
    if days == ODD_DAYS:
        return DayPattern(
            gettext("Odd days of the month at %(times)s"), gettext("%(frequency)s on odd days of the month")
        )
    if days == EVEN_DAYS:
        return DayPattern(
            gettext("Even days of the month at %(times)s"), gettext("%(frequency)s on even days of the month")
        )
    if is_span(days):
        return DayPattern(
            gettext("From the %(first)s to the %(last)s of the month at %(times)s"),
            gettext("%(frequency)s from the %(first)s to the %(last)s of the month"),
            {"first": ordinal(min(days)), "last": ordinal(max(days))},
        )
    if len(days) > MOST_LISTED + 1:
        return None
    params = {"dates": all_of(map(ordinal, sorted(days)))}
    if len(days) == 1 and max(days) > 28:
        return DayPattern(
            gettext("Monthly on the %(dates)s at %(times)s (only in months with that day)"),
            gettext("%(frequency)s on the %(dates)s of the month (only in months with that day)"),
            params,
        )
    return DayPattern(
        ngettext("Monthly on the %(dates)s at %(times)s", "Monthly on the %(dates)s at %(times)s", len(days)),
        ngettext(
            "%(frequency)s on the %(dates)s of the month",
            "%(frequency)s on the %(dates)s of the month",
            len(days),
        ),
        params,
    )


def _on_dates_of(days: Values, months: Values) -> DayPattern:
    """A few dates in some months; one date of one month is a yearly job."""
    if len(days) > 1 or len(months) > 1:
        return DayPattern(
            ngettext(
                "On the %(dates)s of %(months)s at %(times)s",
                "On the %(dates)s of %(months)s at %(times)s",
                len(days),
            ),
            ngettext(
                "%(frequency)s on the %(dates)s of %(months)s",
                "%(frequency)s on the %(dates)s of %(months)s",
                len(days),
            ),
            {"dates": all_of(map(ordinal, sorted(days))), "months": month_names(months)},
        )
    params = {"month": month_names(months), "day": date_of_month(*days)}
    if (*months, *days) == (2, 29):
        return DayPattern(
            gettext("Yearly on %(month)s %(day)s at %(times)s (leap years only)"),
            gettext("%(frequency)s on %(month)s %(day)s (leap years only)"),
            params,
        )
    return DayPattern(
        gettext("Yearly on %(month)s %(day)s at %(times)s"),
        gettext("%(frequency)s on %(month)s %(day)s"),
        params,
    )


def _on_both(days: Values, weekdays: Values) -> DayPattern | None:
    """Days that must match the date and the weekday."""
    if len(weekdays) == 1 and (nth := _nth_week(days)):
        return nth._replace(params={"day": str(WEEKDAY[min(weekdays)])})
    names = {"days": _weekday_kind(weekdays)}
    if days in (ODD_DAYS, EVEN_DAYS):
        return _on_odd_or_even(days, names)
    if is_span(days):
        return DayPattern(
            gettext("%(days)s from the %(first)s to the %(last)s of the month at %(times)s"),
            gettext("%(frequency)s on %(days)s from the %(first)s to the %(last)s of the month"),
            {**names, "first": ordinal(min(days)), "last": ordinal(max(days))},
        )
    if len(days) > MOST_LISTED + 1:
        return None
    return DayPattern(
        gettext("%(days)s that fall on the %(dates)s of the month at %(times)s"),
        gettext("%(frequency)s on %(days)s that fall on the %(dates)s of the month"),
        {**names, "dates": any_of(map(ordinal, sorted(days)))},
    )


def _on_odd_or_even(days: Values, names: dict[str, str]) -> DayPattern:
    if days == ODD_DAYS:
        return DayPattern(
            gettext("%(days)s that fall on an odd day of the month at %(times)s"),
            gettext("%(frequency)s on %(days)s that fall on an odd day of the month"),
            names,
        )
    return DayPattern(
        gettext("%(days)s that fall on an even day of the month at %(times)s"),
        gettext("%(frequency)s on %(days)s that fall on an even day of the month"),
        names,
    )


def _nth_week(days: Values) -> DayPattern | None:
    if days == frozenset(range(1, 8)):
        return DayPattern(
            gettext("First %(day)s of the month at %(times)s"),
            gettext("%(frequency)s on the first %(day)s of the month"),
        )
    if days == frozenset(range(8, 15)):
        return DayPattern(
            gettext("Second %(day)s of the month at %(times)s"),
            gettext("%(frequency)s on the second %(day)s of the month"),
        )
    if days == frozenset(range(15, 22)):
        return DayPattern(
            gettext("Third %(day)s of the month at %(times)s"),
            gettext("%(frequency)s on the third %(day)s of the month"),
        )
    if days == frozenset(range(22, 29)):
        return DayPattern(
            gettext("Fourth %(day)s of the month at %(times)s"),
            gettext("%(frequency)s on the fourth %(day)s of the month"),
        )
    return None


def _in_months(pattern: DayPattern, months: Values) -> DayPattern:
    if len(months) > 2 and is_run(months, 12):
        first, last = run_ends(months, 12)
        params = {"first_month": str(MONTHS[first]), "last_month": str(MONTHS[last])}
        suffix = gettext("%(label)s, %(first_month)s through %(last_month)s")
    else:
        params = {"months": month_names(months)}
        suffix = gettext("%(label)s, in %(months)s")
    # The months go in first; the label's own places stay open for the times.
    return DayPattern(
        suffix % {"label": pattern.at, **params}, suffix % {"label": pattern.every, **params}, pattern.params
    )


def _weekday_kind(weekdays: Values) -> str:
    if weekdays == WORKING_DAYS:
        return gettext("Weekdays")
    return gettext("Weekends") if weekdays == WEEKEND else weekday_names(weekdays)
