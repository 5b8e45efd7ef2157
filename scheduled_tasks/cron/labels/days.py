"""The day part of a label: the pattern that a time is put into."""

from typing import NamedTuple

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from .words import (
    EVEN_DAYS,
    EVERY_DAY,
    EVERY_MONTH,
    EVERY_WEEKDAY,
    MOST_LISTED,
    ODD_DAYS,
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

    at: str | Promise
    every: str | Promise
    params: dict[str, str] = {}

    def of(self, **params: str) -> "DayPattern":
        """The same pattern with these params."""
        return self._replace(params=params)


DAILY = DayPattern(_("Daily at %(times)s"), "%(frequency)s")
ON_WEEKDAYS = {
    EVERY_WEEKDAY: DAILY,
    WORKING_DAYS: DayPattern(_("Weekdays at %(times)s"), _("%(frequency)s on weekdays")),
    WEEKEND: DayPattern(_("Weekends at %(times)s"), _("%(frequency)s on weekends")),
}
EXCEPT = DayPattern(_("Daily except %(days)s at %(times)s"), _("%(frequency)s except on %(days)s"))
ON_DAYS = DayPattern(_("%(days)s at %(times)s"), _("%(frequency)s on %(days)s"))
ON_DATES = {
    ODD_DAYS: DayPattern(
        _("Odd days of the month at %(times)s"), _("%(frequency)s on odd days of the month")
    ),
    EVEN_DAYS: DayPattern(
        _("Even days of the month at %(times)s"), _("%(frequency)s on even days of the month")
    ),
}
FROM_TO = DayPattern(
    _("From the %(first)s to the %(last)s of the month at %(times)s"),
    _("%(frequency)s from the %(first)s to the %(last)s of the month"),
)
ON_A_LATE_DATE = DayPattern(
    _("Monthly on the %(dates)s at %(times)s (only in months with that day)"),
    _("%(frequency)s on the %(dates)s of the month (only in months with that day)"),
)
YEARLY = DayPattern(_("Yearly on %(month)s %(day)s at %(times)s"), _("%(frequency)s on %(month)s %(day)s"))
IN_LEAP_YEARS = DayPattern(
    _("Yearly on %(month)s %(day)s at %(times)s (leap years only)"),
    _("%(frequency)s on %(month)s %(day)s (leap years only)"),
)
NTH_WEEKDAY = {
    frozenset(range(1, 8)): DayPattern(
        _("First %(day)s of the month at %(times)s"), _("%(frequency)s on the first %(day)s of the month")
    ),
    frozenset(range(8, 15)): DayPattern(
        _("Second %(day)s of the month at %(times)s"), _("%(frequency)s on the second %(day)s of the month")
    ),
    frozenset(range(15, 22)): DayPattern(
        _("Third %(day)s of the month at %(times)s"), _("%(frequency)s on the third %(day)s of the month")
    ),
    frozenset(range(22, 29)): DayPattern(
        _("Fourth %(day)s of the month at %(times)s"), _("%(frequency)s on the fourth %(day)s of the month")
    ),
}
DAYS_ON_DATES = {
    ODD_DAYS: DayPattern(
        _("%(days)s that fall on an odd day of the month at %(times)s"),
        _("%(frequency)s on %(days)s that fall on an odd day of the month"),
    ),
    EVEN_DAYS: DayPattern(
        _("%(days)s that fall on an even day of the month at %(times)s"),
        _("%(frequency)s on %(days)s that fall on an even day of the month"),
    ),
}
DAYS_FROM_TO = DayPattern(
    _("%(days)s from the %(first)s to the %(last)s of the month at %(times)s"),
    _("%(frequency)s on %(days)s from the %(first)s to the %(last)s of the month"),
)
DAYS_ON_A_FEW_DATES = DayPattern(
    _("%(days)s that fall on the %(dates)s of the month at %(times)s"),
    _("%(frequency)s on %(days)s that fall on the %(dates)s of the month"),
)


def day_pattern(days: Values, months: Values, weekdays: Values) -> DayPattern | None:
    if days == EVERY_DAY:
        pattern: DayPattern | None = _on_weekdays(weekdays)
    elif weekdays != EVERY_WEEKDAY:
        pattern = _on_both(days, weekdays)
    elif months == EVERY_MONTH or days in ON_DATES or len(days) > MOST_LISTED or is_span(days):
        pattern = _on_dates(days)
    else:
        return _on_dates_of(days, months)
    return pattern if pattern is None or months == EVERY_MONTH else _in_months(pattern, months)


def _on_weekdays(weekdays: Values) -> DayPattern:
    if weekdays in ON_WEEKDAYS:
        return ON_WEEKDAYS[weekdays]
    if len(weekdays) == 6:
        return EXCEPT.of(days=weekday_names(EVERY_WEEKDAY - weekdays))
    return ON_DAYS.of(days=weekday_names(weekdays))


def _on_dates(days: Values) -> DayPattern | None:
    if days in ON_DATES:
        return ON_DATES[days]
    if is_span(days):
        return FROM_TO.of(first=ordinal(min(days)), last=ordinal(max(days)))
    if len(days) > MOST_LISTED + 1:
        return None
    params = {"dates": all_of(map(ordinal, sorted(days)))}
    if len(days) == 1 and max(days) > 28:
        return ON_A_LATE_DATE.of(**params)
    at = ngettext("Monthly on the %(dates)s at %(times)s", "Monthly on the %(dates)s at %(times)s", len(days))
    every = ngettext(
        "%(frequency)s on the %(dates)s of the month",
        "%(frequency)s on the %(dates)s of the month",
        len(days),
    )
    return DayPattern(at, every, params)


def _on_dates_of(days: Values, months: Values) -> DayPattern:
    """A few dates in some months; one date of one month is a yearly job."""
    if len(days) == 1 and len(months) == 1:
        pattern = IN_LEAP_YEARS if (*months, *days) == (2, 29) else YEARLY
        return pattern.of(month=month_names(months), day=date_of_month(*days))
    at = ngettext(
        "On the %(dates)s of %(months)s at %(times)s",
        "On the %(dates)s of %(months)s at %(times)s",
        len(days),
    )
    every = ngettext(
        "%(frequency)s on the %(dates)s of %(months)s",
        "%(frequency)s on the %(dates)s of %(months)s",
        len(days),
    )
    return DayPattern(at, every, {"dates": all_of(map(ordinal, sorted(days))), "months": month_names(months)})


def _on_both(days: Values, weekdays: Values) -> DayPattern | None:
    """Days that must match the date and the weekday."""
    if len(weekdays) == 1 and days in NTH_WEEKDAY:
        return NTH_WEEKDAY[days].of(day=str(WEEKDAYS[(min(weekdays) - 1) % 7]))
    names = _weekday_kind(weekdays)
    if days in DAYS_ON_DATES:
        return DAYS_ON_DATES[days].of(days=names)
    if is_span(days):
        return DAYS_FROM_TO.of(days=names, first=ordinal(min(days)), last=ordinal(max(days)))
    if len(days) > MOST_LISTED + 1:
        return None
    return DAYS_ON_A_FEW_DATES.of(days=names, dates=any_of(map(ordinal, sorted(days))))


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
