"""The sentences of messages, in the active language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..moments import HOUR, MINUTE

if TYPE_CHECKING:
    from .notification import IncidentFacts

Sentence = Callable[["IncidentFacts", int], str]
"""Makes the sentence about one incident; the number says how often its trouble came."""


class Named(Protocol):
    """An incident, or facts of one."""

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...


def name_of(incident: Named) -> str:
    """What is wrong with what, in a few words."""
    names = {
        "failing": _("Failing: %(subject)s"),
        "late": _("Late or missed: %(subject)s"),
        "slow": _("Running far too long: %(subject)s"),
        "beat": _("Beat is down"),
        "queue": _("No worker for the queue %(subject)s") if incident.subject else _("No worker is running"),
        "broker": _("The broker is unreachable"),
        "recorder": _("Runs are not recorded"),
    }
    return names.get(incident.kind, incident.kind) % {"subject": incident.subject}


def opened(incident: IncidentFacts, count: int) -> str:
    """``"Failing: exchange-rate-sync (3 failures in a row). RatesUnavailable: …"``."""
    runs = incident.run_count
    text, counted = name_of(incident), ""
    if incident.kind == "failing" and runs > 1:
        counted = ngettext("(%(count)s failure in a row)", "(%(count)s failures in a row)", runs)
    elif incident.kind == "late" and runs > 0:
        counted = ngettext("(%(count)s run did not start)", "(%(count)s runs did not start)", runs)
    text += f" {counted % {'count': runs}}" if counted else ""
    error_name = incident.error_type.rpartition(".")[2]
    why = ": ".join(filter(None, (error_name, incident.error))) or incident.reason
    return f"{text}. {why}" if why else text


def closed(incident: IncidentFacts, count: int) -> str:
    """``"Recovered: exchange-rate-sync, after 14 min and 3 failed runs"``, or why it is watched no more."""
    duration = span(incident.duration)
    ceased = {
        "paused": _("Closed: %(subject)s was disabled, after %(duration)s"),
        "deleted": _("Closed: %(subject)s was deleted, after %(duration)s"),
    }
    found = {
        "failing": ngettext(
            "Recovered: %(subject)s, after %(duration)s and %(runs)s failed run",
            "Recovered: %(subject)s, after %(duration)s and %(runs)s failed runs",
            incident.run_count,
        ),
        "late": _("Recovered: %(subject)s runs again, after %(duration)s"),
        "slow": _("Recovered: the long run of %(subject)s ended, after %(duration)s"),
        "beat": _("Recovered: beat is running again, after %(duration)s"),
        "queue": _("Recovered: the queue %(subject)s has a worker again, after %(duration)s")
        if incident.subject
        else _("Recovered: a worker is running again, after %(duration)s"),
        "broker": _("Recovered: the broker is reachable again, after %(duration)s"),
        "recorder": _("Recovered: runs are recorded again, after %(duration)s"),
    }
    recovered = found.get(incident.kind, _("Recovered: %(subject)s, after %(duration)s"))
    sentence = ceased.get(incident.closing, recovered)
    return sentence % {"subject": incident.subject, "duration": duration, "runs": incident.run_count}


def flapping(incident: IncidentFacts, count: int) -> str:
    """It comes and goes; from now on there is one message an hour."""
    sentence = _(
        "Flapping: %(what)s. It came and went %(count)s times within an hour. "
        "From now on there is one message an hour."
    )
    return sentence % {"what": name_of(incident), "count": count}


def summary(incident: IncidentFacts, count: int) -> str:
    """How often a flapping trouble came in the last hour."""
    sentence = ngettext(
        "Still flapping: %(what)s. It came %(count)s time in the last hour.",
        "Still flapping: %(what)s. It came %(count)s times in the last hour.",
        count,
    )
    return sentence % {"what": name_of(incident), "count": count}


SENTENCES: dict[str, Sentence] = {
    "opened": opened,
    "closed": closed,
    "flapping": flapping,
    "summary": summary,
}
"""By :class:`.models.NoticeEvent`."""


def of_several(event: str, total: int, titles: Sequence[str]) -> str:
    """``"7 incidents opened: …"``."""
    heads = {
        "opened": ngettext("%(count)s incident opened", "%(count)s incidents opened", total),
        "closed": ngettext("%(count)s incident closed", "%(count)s incidents closed", total),
    }
    flapping = ngettext("%(count)s incident is flapping", "%(count)s incidents are flapping", total)
    head = heads.get(event, flapping) % {"count": total}
    return f"{head}: {'; '.join(titles)}{'; …' if total > len(titles) else ''}"


def test(owner: str) -> str:
    """The whole of a test message."""
    return _("Test message: alerts for %(owner)s arrive here") % {"owner": owner}


def span(duration: timedelta) -> str:
    """``"40 s"``, ``"14 min"``, ``"2 h 5 min"``."""
    seconds = round(duration.total_seconds())
    if seconds < MINUTE:
        return _("%(s)s s") % {"s": seconds}
    minutes = round(seconds / MINUTE)
    if seconds < HOUR:
        return _("%(m)s min") % {"m": minutes}
    hours, rest = divmod(minutes, MINUTE)
    return _("%(h)s h %(m)s min") % {"h": hours, "m": rest} if rest else _("%(h)s h") % {"h": hours}
