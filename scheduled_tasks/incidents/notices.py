"""Which notices arise: who is told of an incident's opening and end, and who is not.

A notice is made in the transaction that writes its incidents. Only :mod:`..alerts.sender` changes it later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Max, Q, TextChoices
from django.utils.translation import gettext_lazy as _

from ..alerts.channels import channels_for
from ..models import (
    OF_TASKS,
    Closing,
    Incident,
    IncidentKind,
    Notice,
    NoticeEvent,
    NoticeState,
    TaskState,
    database,
)
from .ledger import Changes

LISTED_TOGETHER = 5
"""Incidents that are told one by one; more of them at once are told in one message."""

FLAPPING_FROM = 5
"""Openings of one trouble within :data:`SPAN` that make it flapping."""

SPAN = timedelta(hours=1)
"""The time in which openings are counted, and between two summaries."""

STEADY_AFTER = timedelta(minutes=5)
"""How long a trouble that came back within :data:`SPAN` must last before it is told again."""

OPENING = (NoticeEvent.OPENED, NoticeEvent.FLAPPING, NoticeEvent.SUMMARY)
"""Events by which somebody has heard of an open incident."""

AT_ONCE = 500


class Untold(TextChoices):
    """Why nobody was told of an incident; of one that is over only whether it was muted."""

    NO_CHANNEL = "no_channel", _("No channel is set up for it.")
    MUTED = "muted", _("It is muted.")
    WAS_MUTED = "was_muted", _("It was muted.")
    KIND_NOT_ALERTED = "kind_not_alerted", _("The task alerts on other kinds of trouble only.")
    BELOW_ALERT_AFTER = "below_alert_after", _("There were not enough failures in a row yet.")
    WAITING = "waiting", _("It came back within an hour. It is told once it has lasted five minutes.")
    FLAPPING = "flapping", _("It comes and goes. The hourly summary tells of it.")
    CHANNEL_FAILING = "channel_failing", _("No channel has taken the message yet.")


class Told(NamedTuple):
    """A channel that has a notice of an incident."""

    channel: str
    label: str
    owner: str


@dataclass
class Past:
    """What has been with some troubles lately; the newest incidents last."""

    incidents: dict[str, list[Incident]] = field(default_factory=lambda: defaultdict(list))
    flapping: dict[str, datetime] = field(default_factory=dict)
    """When a trouble was last told as flapping, or summed up."""

    @classmethod
    def read(cls, keys: Iterable[str], now: datetime) -> Past:
        """Read it for these keys: two statements."""
        past, keys = cls(), sorted(set(keys))
        lately = Q(opened_at__gt=now - SPAN) | Q(closed_at__gt=now - SPAN) | Q(muted_until__gt=now)
        incidents = Incident.objects.using(database()).filter(lately, closed_at__isnull=False)
        for start in range(0, len(keys), AT_ONCE):
            for incident in incidents.filter(key__in=keys[start : start + AT_ONCE]).order_by("pk"):
                past.incidents[incident.key].append(incident)
        events = (NoticeEvent.FLAPPING, NoticeEvent.SUMMARY, NoticeEvent.CLOSED)
        notices = Notice.objects.using(database()).filter(event__in=events, created_at__gt=now - 2 * SPAN)
        for event, key, moment in notices.order_by("pk").values_list("event", "incidents__key", "created_at"):
            past.flapping.pop(key, None)
            if event != NoticeEvent.CLOSED:
                past.flapping[key] = moment
        return past

    def is_flapping(self, key: str, now: datetime) -> bool:
        """Whether only summaries are told of it."""
        moment = self.flapping.get(key)
        return moment is not None and moment > now - SPAN

    def before(self, incident: Incident) -> list[Incident]:
        """The incidents of the same trouble before this one."""
        return [each for each in self.incidents.get(incident.key, ()) if each is not incident]


def is_alerted(incident: Incident, state: TaskState) -> Untold | str:
    """Why the policy wants nobody to be told; empty when it does not mind."""
    if incident.kind not in OF_TASKS:
        return ""
    if incident.kind not in state.effective_alert_on:
        return Untold.KIND_NOT_ALERTED
    if incident.kind == IncidentKind.FAILING and incident.run_count < state.effective_alert_after:
        return Untold.BELOW_ALERT_AFTER
    return ""


def verdict(incident: Incident, state: TaskState, past: Past, now: datetime) -> NoticeEvent | Untold:
    """How an incident of which nobody has heard is to be told, or why it is not."""
    if incident.is_muted(now):
        return Untold.MUTED
    refused = is_alerted(incident, state)
    if refused:
        return Untold(refused)
    if past.is_flapping(incident.key, now):
        return Untold.FLAPPING
    before = [each for each in past.before(incident) if not is_alerted(each, state)]
    lately = [each for each in before if each.opened_at > now - SPAN]
    if len(lately) + 1 >= FLAPPING_FROM:
        return NoticeEvent.FLAPPING
    ended = [each.closed_at for each in before if each.closed_at is not None]
    came_back = bool(ended) and max(ended) > incident.opened_at - SPAN
    lasted = (incident.closed_at or now) - incident.opened_at
    return Untold.WAITING if came_back and lasted < STEADY_AFTER else NoticeEvent.OPENED


def carry_mutes(opened: Iterable[Incident], past: Past, now: datetime) -> None:
    """What was muted until a moment stays muted when it comes back before that.

    Only the last incident of the trouble counts: whoever unmuted that one has unmuted them all.
    """
    muted = {
        incident.key: (incident, each)
        for incident in opened
        for each in past.before(incident)
        if each.muted_until is not None and each.muted_until > now
    }
    if not muted:
        return
    closed = Incident.objects.using(database()).filter(key__in=[*muted], closed_at__isnull=False)
    last = dict(closed.order_by().values_list("key").annotate(Max("pk")))
    for key, (incident, before) in muted.items():
        if before.pk == last[key]:
            incident.muted_until, incident.muted_by = before.muted_until, before.muted_by


class Notices:
    """The notices of one look. ``told`` says which channels have heard of each open incident, by its id."""

    def __init__(self, changes: Changes, past: Past, told: dict[int, list[Told]], states: StatesOf) -> None:
        self._changes = changes
        self._past = past
        self._told = told
        self._state_of = states
        self._wanted: dict[tuple[NoticeEvent, str, str], list[tuple[Incident, int]]] = defaultdict(list)
        self._owners: dict[tuple[NoticeEvent, str, str], set[str]] = defaultdict(set)
        self.waits = False
        """Whether something is to be told later, although nothing more happens."""

    def make(self) -> list[Notice]:
        """Make what has to be told, and return it."""
        self._sum_up()
        new = {id(each) for each in self._changes.opened}
        for incident in self._changes.closed:
            if id(incident) not in new:
                self._past.incidents[incident.key].append(incident)
        untold = [each for each in self._changes.standing if each.pk not in self._told]
        over = [each for each in self._changes.closed if id(each) not in new and each.pk not in self._told]
        reached = [each for each in over if each.closing == Closing.RECOVERED]
        for incident in [*untold, *reached, *self._changes.opened]:
            self._tell_opening(incident)
        for incident in self._changes.closed:
            self._tell_end(incident)
        self.waits |= any(self._past.is_flapping(key, self._changes.now) for key in self._past.flapping)
        return self._write()

    def _tell_opening(self, incident: Incident) -> None:
        found = verdict(incident, self._state_of(incident), self._past, self._changes.now)
        if incident not in self._past.incidents[incident.key]:
            self._past.incidents[incident.key].append(incident)
        if isinstance(found, Untold):
            self.waits |= found == Untold.WAITING and incident.is_open
            return
        count = 1
        if found == NoticeEvent.FLAPPING:
            self._past.flapping[incident.key] = self._changes.now
            count = FLAPPING_FROM
        self._want(found, incident, channels_of(incident), count)

    def _tell_end(self, incident: Incident) -> None:
        """Tell whoever heard of it, also that it is watched no more: a pager would ring for ever."""
        now = self._changes.now
        if not (incident.is_muted(now) or self._past.is_flapping(incident.key, now)):
            self._want(NoticeEvent.CLOSED, incident, self._told.get(incident.pk, []))

    def _sum_up(self) -> None:
        """Tell how often a flapping trouble came within the last hour, or that it came no more."""
        now = self._changes.now
        due = [key for key, moment in self._past.flapping.items() if moment <= now - SPAN]
        for key in due:
            since = self._past.flapping[key]
            incidents = Incident.objects.using(database()).filter(key=key).order_by("-opened_at", "-pk")
            newest, count = incidents.first(), incidents.filter(opened_at__gt=since).count()
            if newest is None or newest.is_muted(now):
                continue
            if count:
                self._past.flapping[key] = now
                self._want(NoticeEvent.SUMMARY, newest, channels_of(newest), count)
            elif not newest.is_open:
                del self._past.flapping[key]
                self._want(NoticeEvent.CLOSED, newest, channels_of(newest))

    def _want(self, event: NoticeEvent, incident: Incident, channels: Iterable[Told], count: int = 1) -> None:
        for channel in channels:
            group = event, channel.channel, channel.label
            self._wanted[group].append((incident, count))
            self._owners[group].add(channel.owner)
            told = self._told.setdefault(incident.pk, [])
            if channel not in told:
                told.append(channel)

    def _write(self) -> list[Notice]:
        made: list[Notice] = []
        for (event, channel, label), wanted in self._wanted.items():
            owners = self._owners[event, channel, label]
            owner = owners.pop() if len(owners) == 1 else ""
            size = len(wanted) if len(wanted) > LISTED_TOGETHER else 1
            for start in range(0, len(wanted), size):
                together = wanted[start : start + size]
                notice = Notice(
                    event=event,
                    owner=owner,
                    channel=channel,
                    label=label[:255],
                    state=NoticeState.WAITING,
                    count=sum(count for _incident, count in together),
                    created_at=self._changes.now,
                    due_at=self._changes.now,
                )
                notice.save(using=database(), force_insert=True)
                _join(notice, [incident for incident, _count in together])
                made.append(notice)
        return made


StatesOf = Callable[[Incident], TaskState]


def channels_of(incident: Incident) -> list[Told]:
    """Who is to hear of it."""
    owner = incident.owner
    return [Told(each.fingerprint, each.label, owner) for each in channels_for(owner)]


def _join(notice: Notice, incidents: Sequence[Incident]) -> None:
    through = Notice.incidents.through
    rows = [through(notice_id=notice.pk, incident_id=incident.pk) for incident in incidents]
    through.objects.using(database()).bulk_create(rows, batch_size=AT_ONCE)


def told_of_open() -> dict[int, list[Told]]:
    """Which channels have a notice of each open incident: one statement."""
    found: dict[int, list[Told]] = {}
    notices = Notice.objects.using(database()).filter(event__in=OPENING, incidents__open_key__isnull=False)
    for pk, *channel in notices.order_by("pk").values_list("incidents", "channel", "label", "owner"):
        told = found.setdefault(pk, [])
        if Told(*channel) not in told:
            told.append(Told(*channel))
    return found
