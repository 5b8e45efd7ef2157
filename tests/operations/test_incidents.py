"""Acknowledging and muting an incident: what is stored, what history says, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone, translation

from scheduled_tasks import operations
from scheduled_tasks.models import Incident, ScheduledTask, database_now
from scheduled_tasks.operations import Actor, AuditEntry, MuteSpan, Refused, handling_token
from tests.alerts.rows import make_incident

pytestmark = pytest.mark.django_db


class Log:
    """Who was told to have done what to what."""

    def __init__(self) -> None:
        self.entries: list[tuple[ScheduledTask | Incident, AuditEntry]] = []

    def actor(self, name: str = "anna") -> Actor:
        return Actor(name, lambda about, entry: self.entries.append((about, entry)))

    @property
    def sentences(self) -> list[str]:
        return [str(entry) for _about, entry in self.entries]


@pytest.fixture
def log() -> Log:
    return Log()


def make_fault() -> Incident:
    now = database_now()
    return Incident.objects.create(
        kind="beat", key="beat:", open_key="beat:", opened_at=now, last_seen_at=now
    )


def stored(incident: Incident) -> dict[str, Any]:
    return Incident.objects.filter(pk=incident.pk).values().get()


def test_acknowledging_notes_who_and_why_once(log: Log) -> None:
    incident = make_incident()
    for _ in range(2):
        operations.acknowledge(incident.pk, actor=log.actor(), note=" on it ")
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.note) == ("anna", "on it")
    assert incident.acknowledged_at is not None
    assert log.sentences == [f"Acknowledged incident {incident.pk} (Failing): on it"]
    assert log.entries[0][0] == ScheduledTask.objects.get(pk=incident.task_id)


def test_another_note_replaces_the_first_and_none_changes_nothing(log: Log) -> None:
    incident = make_incident()
    operations.acknowledge(incident.pk, actor=log.actor("anna"), note="first")
    operations.acknowledge(incident.pk, actor=log.actor("bert"))
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.note) == ("anna", "first")
    operations.acknowledge(incident.pk, actor=log.actor("bert"), note="x" * 600)
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.note) == ("bert", "x" * 500)
    assert len(log.entries) == 2


def test_an_empty_note_removes_only_the_note_that_was_seen(log: Log) -> None:
    incident = make_incident()
    operations.acknowledge(incident.pk, actor=log.actor("anna"), note="wrong task")
    operations.acknowledge(incident.pk, actor=log.actor("bert"))
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.note) == ("anna", "wrong task")
    operations.acknowledge(incident.pk, actor=log.actor("bert"), note=" ", seen=handling_token(incident))
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.note) == ("bert", "")
    assert log.sentences[1:] == [f"Acknowledged incident {incident.pk} (Failing)."]


def test_what_somebody_did_meanwhile_is_not_replaced(log: Log) -> None:
    incident = make_incident()
    anna, bert = log.actor("anna"), log.actor("bert")

    def is_refused(do: Any, **what: Any) -> bool:
        before = stored(incident)
        with pytest.raises(Refused, match=r"^Somebody changed this incident meanwhile\.$") as refusal:
            do(incident.pk, actor=bert, **what)
        return refusal.value.code == "conflict" and stored(incident) == before

    seen = handling_token(incident)
    operations.acknowledge(incident.pk, actor=anna, note="on it")
    assert is_refused(operations.acknowledge, note="mine", seen=seen)
    assert is_refused(operations.acknowledge, note="", seen=seen)
    operations.mute(incident.pk, actor=bert, span="hour", seen=seen)  # which nobody else has changed
    assert is_refused(operations.mute, span="resolved", seen=seen)
    incident.refresh_from_db()
    seen = handling_token(incident)
    operations.mute(incident.pk, actor=anna, span="resolved", seen=seen)
    assert is_refused(operations.unmute, seen=seen)
    operations.mute(incident.pk, actor=bert, span="resolved", seen=seen)  # as it is already
    operations.acknowledge(incident.pk, actor=bert, note="mine", seen=seen)
    assert is_refused(operations.acknowledge, note="x", seen="nonsense")


def test_an_acknowledgement_can_be_taken_back_once(log: Log) -> None:
    incident = make_incident()
    anna = log.actor("anna")
    operations.acknowledge(incident.pk, actor=anna, note="on it")
    seen = handling_token(Incident.objects.get(pk=incident.pk))
    operations.acknowledge(incident.pk, actor=anna, note="still on it")
    with pytest.raises(Refused, match="meanwhile"):
        operations.unacknowledge(incident.pk, actor=log.actor("bert"), seen=seen)
    for _ in range(2):
        operations.unacknowledge(incident.pk, actor=log.actor("bert"))
    incident.refresh_from_db()
    assert (incident.acknowledged_by, incident.acknowledged_at, incident.note) == ("", None, "")
    assert log.sentences[2:] == [f"Took back the acknowledgement of incident {incident.pk} (Failing)."]


def test_what_is_done_to_the_machinerys_is_logged_with_the_incident(log: Log) -> None:
    incident = make_fault()
    operations.acknowledge(incident.pk, actor=log.actor())
    assert log.entries[0][0] == incident
    assert log.sentences == [f"Acknowledged incident {incident.pk} (Beat is down)."]


@pytest.mark.parametrize(
    ("span", "is_for_good", "says"),
    [
        ("hour", False, ") until "),
        ("tomorrow", False, "09:00 "),
        ("resolved", True, "until it is resolved."),
    ],
)
def test_muting_lasts_as_long_as_chosen_and_twice_is_once(
    log: Log, span: str, is_for_good: bool, says: str
) -> None:
    incident = make_incident()
    for _ in range(2):
        operations.mute(incident.pk, actor=log.actor(), span=span)
    incident.refresh_from_db()
    now = database_now()
    assert incident.is_muted(now)
    assert (incident.muted_by, incident.muted_for_good) == ("anna", is_for_good)
    assert len(log.entries) == 1
    assert says in log.sentences[0]
    until = incident.muted_until
    if span == "hour":
        assert until is not None
        assert abs(until - now - timedelta(hours=1)) < timedelta(seconds=30)
    if span == "tomorrow":
        assert until is not None
        local = timezone.localtime(until)
        assert (local.hour, local.minute) == (9, 0)
        assert local.date() == timezone.localtime(now).date() + timedelta(days=1)


def test_another_span_replaces_the_one_before(log: Log) -> None:
    incident = make_incident()
    for span in MuteSpan:
        operations.mute(incident.pk, actor=log.actor(), span=span)
    incident.refresh_from_db()
    assert (incident.muted_until, incident.muted_for_good) == (None, True)
    operations.mute(incident.pk, actor=log.actor(), span="hour")
    incident.refresh_from_db()
    assert incident.muted_until is not None
    assert not incident.muted_for_good
    assert len(log.entries) == 4


def test_unmuting_ends_it_once(log: Log) -> None:
    incident = make_incident()
    for span in ("hour", "resolved"):
        operations.mute(incident.pk, actor=log.actor(), span=span)
        for _ in range(2):
            operations.unmute(incident.pk, actor=log.actor())
        incident.refresh_from_db()
        assert not incident.is_muted(database_now())
        assert (incident.muted_until, incident.muted_for_good, incident.muted_by) == (None, False, "")
    assert log.sentences[1::2] == [f"Unmuted incident {incident.pk} (Failing)."] * 2


@pytest.mark.parametrize("span", ["", "for ever", "HOUR"])
def test_an_unknown_span_is_refused_in_one_sentence(log: Log, span: str) -> None:
    incident = make_incident()
    before = stored(incident)
    with pytest.raises(Refused, match=r"^Choose how long to mute it: [^.]+\.$"):
        operations.mute(incident.pk, actor=log.actor(), span=span)
    assert (stored(incident), log.entries) == (before, [])


def test_of_a_past_or_missing_incident_everything_is_refused(log: Log) -> None:
    incident = make_incident(closed_at=database_now())
    before = stored(incident)
    for pk, code in ((incident.pk, "ended"), (incident.pk + 1, "gone")):
        for do in (
            lambda pk: operations.acknowledge(pk, actor=log.actor()),
            lambda pk: operations.mute(pk, actor=log.actor(), span="hour"),
            lambda pk: operations.unmute(pk, actor=log.actor()),
            lambda pk: operations.unacknowledge(pk, actor=log.actor()),
        ):
            with pytest.raises(Refused) as refusal:
                do(pk)
            assert refusal.value.code == code
    assert (stored(incident), log.entries) == (before, [])


def test_what_cannot_be_logged_is_not_done() -> None:
    incident = make_incident()
    before = stored(incident)

    def fail(_about: object, _entry: AuditEntry) -> None:
        raise RuntimeError("no log")

    with pytest.raises(RuntimeError, match="no log"):
        operations.acknowledge(incident.pk, actor=Actor("anna", fail), note="on it")
    assert stored(incident) == before


def test_history_keeps_codes_and_moments_not_words(log: Log) -> None:
    incident = make_incident()
    operations.mute(incident.pk, actor=log.actor(), span="hour")
    (message,) = log.entries[0][1].change_message
    until = stored(incident)["muted_until"]
    kept = {"id": incident.pk, "kind": "failing", "until": until.isoformat()}
    assert message["scheduled_tasks"] == {"code": "muted", "params": kept}
    with translation.override(None), timezone.override("Asia/Tokyo"):
        local = timezone.localtime(until)
        assert str(log.entries[0][1]).endswith(f"until {local:%a} {local.day} {local:%b %Y, %H:%M} JST.")
