"""Why a phrase is no schedule, with the nearest one that is."""

from django.utils.translation import gettext

from ..expression import CronExpression
from ..grammar import InvalidCron, gettext_noop
from ..labels import pattern_label

EXAMPLE = "30 9 * * 1-5"
"""A cron expression whose label shows what a phrase can be."""

SENTENCES = {
    "unknown": gettext_noop(
        '"%(value)s" is not understood; write a cron expression, or words such as "%(example)s".'
    ),
    "number": gettext_noop('"%(value)s" can be a time or a date; write a time with minutes, such as 9:00.'),
    "meridiem": gettext_noop("Hours before AM and PM go from 1 to 12."),
    "mixed": gettext_noop(
        "One schedule runs at the same times on all of its days; make one task for each part of this."
    ),
    "either": gettext_noop(
        "A cron expression runs on days that match both the date and the weekday, not on either; "
        "make one task for each."
    ),
    "contradiction": gettext_noop("The words contradict each other, or say the same part twice."),
    "except": gettext_noop("Only weekdays, dates and months can be excepted."),
    "never": gettext_noop("This never runs: none of these months has such a day."),
    "backwards": gettext_noop("The first of two dates or minutes must be the smaller one."),
    "twelve": gettext_noop("Without AM or PM, these hours pass midnight."),
    "end": gettext_noop("A frequency goes from one time to another."),
    "overnight": gettext_noop("A cron expression cannot continue past midnight on some days only."),
    "window": gettext_noop("A cron expression cannot begin or end these hours halfway."),
    "times": gettext_noop("A cron expression runs at each of its minutes in each of its hours."),
    "time": gettext_noop("The time is missing."),
    "often": gettext_noop("It does not say how often between these times."),
    "weekly": gettext_noop("The weekday is missing."),
    "monthly": gettext_noop("The day of the month is missing."),
    "yearly": gettext_noop("The date is missing."),
    "second": gettext_noop("Cron counts whole minutes; use an interval for seconds."),
    "minute": gettext_noop(
        "Cron starts counting again each hour, so it cannot run every %(count)d minutes evenly."
    ),
    "hour": gettext_noop(
        "Cron starts counting again each day, so it cannot run every %(count)d hours evenly."
    ),
    "day": gettext_noop(
        "Cron starts counting again each month, so it cannot run every %(count)d days evenly."
    ),
    "week": gettext_noop("Cron cannot count weeks."),
    "month": gettext_noop("Cron does not count months from today; name the months."),
    "year": gettext_noop("Cron cannot count years."),
    "last": gettext_noop("Cron cannot find the last day or weekday of a month."),
    "workday": gettext_noop("Cron cannot find the first or last of several weekdays in a month."),
    "fifth": gettext_noop("Only the first to fourth weekday of a month can be named."),
}
"""The sentence of each reason, by code."""


class InvalidPhrase(InvalidCron):
    """A phrase that is no schedule. ``str()`` says why and what is nearest, in the active language."""

    def __init__(self, code: str, nearest: str = "", **params: str | int) -> None:
        super().__init__(code, params)
        self.nearest = CronExpression.parse(nearest) if nearest else None
        """The schedule that comes nearest, if there is one."""

    def __str__(self) -> str:
        params = {"example": CronExpression.parse(EXAMPLE).label, **self.shown_params()}
        sentence = gettext(SENTENCES[self.code]) % params
        if self.nearest is None:
            return sentence
        words = pattern_label(self.nearest.canonical, self.nearest.values) or self.nearest.canonical
        return gettext('%(error)s Nearest: "%(schedule)s".') % {"error": sentence, "schedule": words}
