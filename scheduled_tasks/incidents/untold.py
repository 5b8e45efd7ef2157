"""Why nobody was told of incidents, for people who look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ..models import Incident, Notice, NoticeState, TaskState, database
from .notices import OPENING, Past, Untold, channels_of, verdict


def why_untold(incidents: Sequence[Incident], now: datetime) -> Mapping[int, Untold | str]:
    """By id, why nobody was told: empty when somebody was, or is about to be. Of what is over, only a mute.

    Reads ``incident.notices``, which should be prefetched, and by three statements what concerns those of
    which there is no notice.
    """
    open_ones = [each for each in incidents if each.is_open]
    unnoticed = [each for each in open_ones if not _opening(each)]
    found: dict[int, Untold | str] = {each.pk: _why_not_taken(_opening(each)) for each in open_ones}
    if unnoticed:
        task_ids = {each.task_id for each in unnoticed if each.task_id is not None}
        states = TaskState.objects.using(database()).in_bulk(task_ids)
        past = Past.read([each.key for each in unnoticed], now)
        for incident in unnoticed:
            state = states.get(incident.task_id or 0, TaskState())
            found[incident.pk] = _why_unnoticed(incident, state, past, now)
    for each in incidents:
        if each.closed_at is not None and each.is_muted(each.closed_at) and not each.notices.all():
            found[each.pk] = Untold.WAS_MUTED
    return found


def _opening(incident: Incident) -> list[Notice]:
    """The notices that tell of its opening."""
    return [each for each in incident.notices.all() if each.event in OPENING]


def _why_not_taken(notices: Sequence[Notice]) -> Untold | str:
    heard = any(each.state == NoticeState.SENT or not each.attempts for each in notices)
    return "" if heard else Untold.CHANNEL_FAILING


def _why_unnoticed(incident: Incident, state: TaskState, past: Past, now: datetime) -> Untold | str:
    found = verdict(incident, state, past, now)
    if isinstance(found, Untold):
        return found
    return "" if channels_of(incident) else Untold.NO_CHANNEL
