"""Parts to a cron expression, or to the reason why there is none and the expression that comes nearest."""

from collections.abc import Collection
from typing import NamedTuple

from ..labels.words import (
    EVEN_DAYS,
    EVERY_DAY,
    EVERY_HOUR,
    EVERY_MINUTE,
    EVERY_MONTH,
    EVERY_WEEKDAY,
    ODD_DAYS,
    Values,
    even_gap,
)
from .parts import Parts, Spans
from .refusals import InvalidPhrase

A_DAY = 24 * 60
HALF_A_DAY = 12 * 60
MIDNIGHT = [(0, 0)]


class Fields(NamedTuple):
    """Some fields of a cron expression. With a `refusal` they are what comes nearest."""

    text: str
    refusal: str = ""
    every: int = 0
    """The number that the refusal names."""


def expression(parts: Parts, *, twelve_hours: bool) -> str:
    """The cron expression that `parts` say. Raises :class:`InvalidPhrase`.

    With `twelve_hours`, "from 9 to 5" needs AM and PM.
    """
    days, times = _days(parts), _times(parts)
    refused = days if days.refusal else times
    clocks = parts.spans.get("clock", [])
    if twelve_hours and "bare" in parts.flags and any(last < first < 13 * 60 for first, last in clocks):
        parts.spans["clock"] = [(first, last + HALF_A_DAY) for first, last in clocks]
        times, refused = _times(parts), Fields("", "twelve")
    text = f"{times.text} {days.text}"
    if refused.refusal:
        raise InvalidPhrase(refused.refusal, text, count=refused.every)
    return text


def _days(parts: Parts) -> Fields:
    """Day of month, month and weekday."""
    spans, flags, (count, _) = parts.spans, parts.flags, parts.cycle or (0, "")
    dates = _set(spans, "date", EVERY_DAY)
    months = _set(spans, "month", EVERY_MONTH, cycle=12)
    weekdays = _set(spans, "weekday", EVERY_WEEKDAY, cycle=7)
    if "nth" in spans:
        dates = frozenset(7 * min(n, 4) - day for n in _values(spans["nth"]) for day in range(7))
    if "leap" in flags and (min(months), *dates) != (2, 29):
        raise InvalidPhrase("contradiction")
    refusal = _day_refusal(parts)
    if refusal in ("week", "weekly") and "weekday" not in spans:
        weekdays = frozenset({0})
    if refusal in ("month", "monthly", "year", "yearly", "last") and not _has_date(parts):
        end = 28 if refusal == "last" else 7 if "weekday" in spans else 1
        dates = frozenset(range(end - 6, end + 1)) if "weekday" in spans else frozenset({end})
    if refusal in ("year", "yearly") and "month" not in spans:
        months = frozenset({1})
    if refusal == "month":
        months = frozenset(range(1, 13, count))
    text = f"*/{count}" if refusal == "day" and count < 32 else _dates(dates)
    return Fields(f"{text} {_listed(months, EVERY_MONTH)} {_listed(weekdays, EVERY_WEEKDAY)}", refusal, count)


def _has_date(parts: Parts) -> bool:
    return "date" in parts.spans or "nth" in parts.spans


def _day_refusal(parts: Parts) -> str:
    spans, flags = parts.spans, parts.flags
    if parts.cycle is not None:
        return parts.cycle[1]
    if "last" in flags:
        return "last"
    if "nth" in spans and max(_values(spans["nth"])) > 4:
        return "fifth"
    if "every" in flags and "monthly" not in flags:  # every second Monday
        return "week"
    needs = {
        "weekly": "weekday" in spans,
        "monthly": _has_date(parts),
        "yearly": _has_date(parts) and "month" in spans,
    }
    return next((flag for flag, is_there in needs.items() if flag in flags and not is_there), "")


def _times(parts: Parts) -> Fields:
    """Minute and hour."""
    clocks, minutes = parts.spans.get("clock", []), _values(parts.spans.get("minute", []))
    if parts.frequency is not None:
        return _frequent(parts, *parts.frequency)
    if clocks and minutes:
        raise InvalidPhrase("contradiction")
    if any(first != last for first, last in clocks):
        hourly = _every_hours(parts, 1)
        return hourly if hourly.refusal else Fields(hourly.text, "often")
    if clocks:
        return _clock_times({first for first, _ in clocks})
    if minutes:
        return Fields(f"{_listed(minutes, EVERY_MINUTE)} *")
    return Fields("0 0", "time")


def _clock_times(times: set[int]) -> Fields:
    hours, minutes = {time // 60 for time in times}, {time % 60 for time in times}
    refusal = "" if len(hours) * len(minutes) == len(times) else "times"
    return Fields(f"{_listed(minutes, EVERY_MINUTE)} {_listed(hours, EVERY_HOUR)}", refusal)


def _frequent(parts: Parts, count: int, unit: str) -> Fields:
    if unit == "second":
        return Fields("* *", "second")
    if unit == "minute" and count % 60:
        return _every_minutes(parts, count)
    return _every_hours(parts, count // 60 if unit == "minute" else count)


def _every_minutes(parts: Parts, count: int) -> Fields:
    if count > 59:
        return Fields("0 *", "minute", count)
    stretch = parts.spans.get("minute", [])
    if len(stretch) > 1 or any(first == last for first, last in stretch):
        raise InvalidPhrase("contradiction")
    minutes = sorted(_values(stretch) or EVERY_MINUTE)[::count]
    text = _listed(minutes, EVERY_MINUTE) if count == 1 else f"*/{count}"
    text = _stepped(minutes) if stretch and count > 1 else text
    found = _in_hours(parts, minutes, text, 1) if "clock" in parts.spans else Fields(f"{text} *")
    one_hour = found.text.rpartition(" ")[2].isdigit()
    is_uneven = 60 % count and not (stretch or one_hour or "anchored" in parts.flags)
    return Fields(found.text, "minute", count) if is_uneven else found


def _every_hours(parts: Parts, count: int) -> Fields:
    if count > 23:
        return Fields("0 0", "hour", count)
    clocks = parts.spans.get("clock", [])
    start = clocks[0][0] % 60 if clocks else 0
    minutes = sorted(_values(parts.spans.get("minute", [])) or {start})
    text = _listed(minutes, EVERY_MINUTE)
    if clocks and (clocks != MIDNIGHT or count == 1):
        return _in_hours(parts, minutes, text, count)
    is_uneven = 24 % count and not clocks
    return Fields(f"{text} {'*' if count == 1 else f'*/{count}'}", "hour" if is_uneven else "", count)


def _in_hours(parts: Parts, minutes: list[int], text: str, step: int) -> Fields:
    """These minutes of each hour between two clock times, or of every `step`-th."""
    if len(parts.spans["clock"]) > 1:
        raise InvalidPhrase("contradiction")
    first, last = parts.spans["clock"][0]
    some_days = {"date", "nth", "weekday", "except date", "except weekday"} & set(parts.spans)
    refusal = "end" if first == last else "overnight" if last < first and some_days else ""
    end = A_DAY - 1 if refusal else last + (A_DAY if last < first else 0)
    found = _minutes_by_hour(minutes, first, end, step)
    kinds = set(found.values())
    if len(kinds) != 1:
        refusal = refusal or "window"
        whole = {hour for hour, some in found.items() if len(some) == len(minutes)}
        found = dict.fromkeys(whole or {first // 60}, frozenset(minutes))
    elif (kept := sorted(*kinds)) != minutes:
        text = _stepped(kept)
    hours = sorted(found)
    return Fields(f"{text} {_stepped(hours) if step > 1 else _listed(hours, EVERY_HOUR)}", refusal)


def _minutes_by_hour(minutes: list[int], first: int, end: int, step: int) -> dict[int, Values]:
    """Which of the minutes fall between two minutes of the day, without hours that have none.

    Several runs an hour stop before an end on the full hour: every 15 minutes from 8 to 18 ends at 17:45.
    """
    found: dict[int, Values] = {}
    for hour in range(first // 60, end // 60 + 1, step):
        some = frozenset(minute for minute in minutes if first <= hour * 60 + minute <= end)
        is_end = hour * 60 == end and len(minutes) > 1 and found
        if some and not is_end:
            found[hour % 24] = found.get(hour % 24, frozenset()) | some
    return found


def _set(spans: dict[str, Spans], kind: str, every: Values, cycle: int = 0) -> Values:
    """What is named of a kind, everything where nothing is, without what is excepted."""
    first = min(every)
    named = _values(spans[kind], cycle, first) if kind in spans else every
    left = named - _values(spans.get(f"except {kind}", []), cycle, first)
    if not left:
        raise InvalidPhrase("contradiction")
    return left


def _values(spans: Spans, cycle: int = 0, low: int = 0) -> Values:
    """The values in the spans. After the largest of a `cycle` comes `low`: Friday to Monday."""
    if not cycle and any(first > last for first, last in spans):
        raise InvalidPhrase("backwards")
    return frozenset(
        (value - low) % cycle + low if cycle else value
        for first, last in spans
        for value in range(first, last + 1 + (cycle if first > last else 0))
    )


def _dates(days: Values) -> str:
    known = {ODD_DAYS: "*/2", EVEN_DAYS: "2-30/2"}
    return known.get(days) or _listed(days, EVERY_DAY)


def _stepped(values: list[int]) -> str:
    gap = even_gap(values)
    return f"{values[0]}-{values[-1]}/{gap}" if gap > 1 and len(values) > 2 else _listed(values, frozenset())


def _listed(values: Collection[int], every: Values) -> str:
    """The values as one field, three and more in a row as a range."""
    if every == set(values):
        return "*"
    parts: list[list[int]] = []
    for value in sorted(values):
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in parts)
