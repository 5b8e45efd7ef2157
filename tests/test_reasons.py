"""Reasons and audit entries: each code has a sentence, and no stored text can break the page."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.db.models import TextChoices
from django.utils.translation import override

from scheduled_tasks import reasons
from scheduled_tasks.models import TaskRun, TaskState
from scheduled_tasks.operations.audit import AuditEntry, Event, changed, reset_to_default
from scheduled_tasks.reasons import MAX_PARAMETER, NO_REASON, Code, Reason
from scheduled_tasks.schedules import Unschedulable

PACKAGE = Path(reasons.__file__).parent
LANGUAGES = sorted(path.name for path in (PACKAGE / "locale").iterdir())
SENTENCES = [pytest.param(member, id=f"{type(member).__name__}-{member}") for member in [*Code, *Event]]
DETAILS = {
    "error": "5 % off\nof (this) %(x)s",
    "task": "mail.send",
    "name": "anna",
    "by": "anna",
    "since": "2026-12-01T06:00:00+00:00",
    "until": "2026-12-01T06:00:00+00:00",
    "earlier": None,
    "text": "every 0 days",
    "note": "legal",
    "before": "a",
    "after": "b",
    "id": 7,
    "handler": "on_failure",
}


def members_used(choices: type[TextChoices], but_in: str) -> set[str]:
    """Names that the package's code reads from ``choices``, other than in the file that lists them."""
    nodes = (
        node
        for path in PACKAGE.rglob("*.py")
        if path != PACKAGE / but_in
        for node in ast.walk(ast.parse(path.read_text()))
    )
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == choices.__name__
    }


def test_every_reason_is_given_somewhere() -> None:
    assert members_used(Code, "reasons.py") == set(Code.names)


def test_every_event_is_logged_somewhere() -> None:
    made_there = {"RESET", "CANCELLED", "POLICY", "DETAILS", "RESTORED"}
    assert members_used(Event, "operations/audit.py") | made_there == set(Event.names)


def test_columns_have_room_for_every_code() -> None:
    longest = max(map(len, Code.values))
    for model, name in ((TaskRun, "reason"), (TaskState, "broken_reason")):
        assert longest <= (model._meta.get_field(name).max_length or 0)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("member", SENTENCES)
def test_every_sentence_is_translated_with_its_parameters(language: str, member: Code | Event) -> None:
    with override(None):
        english = str(member.label)
    with override(language):
        translated = str(member.label)
    assert translated != english
    assert sorted(re.findall(r"%\(\w+\)s", translated)) == sorted(re.findall(r"%\(\w+\)s", english))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", list(Code))
def test_a_reason_is_a_sentence_in_the_readers_language(language: str, code: Code) -> None:
    reason = Reason.of(code, **DETAILS, what="kwargs", shape="list")
    with override(language):
        text = str(reason)
        assert reason.english != text
    assert all(str(value) in text for name, value in DETAILS.items() if f"%({name})s" in reason_text(code))
    assert not re.search(r"\ba list\b|keyword|kwargs", text)


def reason_text(code: Code) -> str:
    with override(None):
        return str(code.label)


def test_words_in_parameters_are_translated() -> None:
    reason = Reason.of(Code.WRONG_JSON, what="kwargs", shape="dict")
    assert str(reason) == "The keyword arguments of this task must be an object in JSON."


def test_no_reason_says_nothing() -> None:
    assert not NO_REASON
    assert str(NO_REASON) == ""
    assert NO_REASON.columns == {"reason": "", "reason_params": ""}


@pytest.mark.parametrize("params", ["", "[]", "null", "5", "no JSON", '{"luck": 1}', '{"error": {"x": 1}}'])
def test_parameters_that_do_not_fit_break_nothing(params: str) -> None:
    assert str(Reason(Code.NOT_SENT, params)).startswith("The message could not be sent: ")
    assert str(Reason(Code.NO_BEAT, params)) == "No beat was running."


@pytest.mark.parametrize("code", ["out_of %(luck)s", "out_of 5 %"])
def test_a_reason_of_another_version_shows_as_its_own_words(code: str) -> None:
    assert str(Reason(code, '{"luck": "bad"}')) == code.replace("_", " ")


def test_parameters_are_bounded_and_printable() -> None:
    reason = Reason.of(Code.NOT_SENT, error="\x00\ud800" + "x" * 100_000)
    assert len(str(reason)) < MAX_PARAMETER + 100
    assert not {"\x00", "\ud800"} & set(str(reason))
    assert Reason.of(Code.NOT_SENT, error="É🙂").params.isascii()


def test_an_error_that_cannot_say_what_it_is_gives_its_name() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert str(Reason.of(Code.NOT_SENT, error=Mute())) == "The message could not be sent: Mute"


def test_an_error_says_its_reason_in_the_readers_language() -> None:
    error = Unschedulable(Reason(Code.NO_SCHEDULE))
    assert str(error) == "It has no schedule. Give it one."
    with override("de"):
        assert str(error) == str(Reason(Code.NO_SCHEDULE)) != "It has no schedule. Give it one."
    assert isinstance(error, ValueError)


def test_models_say_their_reasons() -> None:
    params = '{"error": "no route"}'
    assert (
        TaskRun(reason="not_sent", reason_params=params).reason_text
        == "The message could not be sent: no route"
    )
    assert TaskRun().reason_text == ""
    assert str(TaskState(broken_reason="not_sent", broken_params=params).problem).endswith("no route")
    assert not TaskState().problem


def test_an_audit_entry_comes_back_as_it_was_logged() -> None:
    entry = reset_to_default(["schedule", "retention_count"], {})
    (message,) = entry.change_message
    assert message["changed"] == {"fields": ["schedule", "runs kept"]}
    assert str(entry) == "Reset to default: schedule, runs kept."
    with override("de"):
        assert entry == reset_to_default(["schedule", "retention_count"], {})
        assert "Zeitplan" in str(entry)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Enabled.",
        "[]",
        "{}",
        "[1]",
        '[{"added": {}}]',
        '[{"scheduled_tasks": 5}]',
        '[{"scheduled_tasks": {"code": "from_the_future", "params": {}}}]',
        '[{"scheduled_tasks": {"code": "enabled", "params": 5}}]',
    ],
)
def test_other_change_messages_are_left_alone(text: str) -> None:
    assert AuditEntry.of(text) is None


def test_parameters_of_an_audit_entry_that_do_not_fit_break_nothing() -> None:
    assert str(changed(Event.NOTED, [], luck=1)) == "Note: … → …."
    assert str(changed(Event.RESET, [])) == "Reset to default: …."
