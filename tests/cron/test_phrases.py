"""Schedules typed in words: what is read, and the one sentence and the nearest schedule for what is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.utils import translation
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduled_tasks.cron import CronExpression, InvalidCron
from scheduled_tasks.cron.grammar import LONGEST
from scheduled_tasks.cron.phrases import InvalidPhrase, is_phrase, parse_phrase, read_schedule
from scheduled_tasks.cron.phrases.refusals import SENTENCES
from scheduled_tasks.cron.phrases.vocabulary import LANGUAGES, vocabulary
from tests.cron.test_properties import RIGHT, accepted

VECTORS = json.loads((Path(__file__).parent.parent / "cron_vectors.json").read_text())
PAGE = Path(__file__).parents[2] / "docs" / "page.md"
bounded = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("weekdays at 9:30", "30 9 * * 1-5"),
        ("every 15 minutes from 8 to 18", "*/15 8-17 * * *"),
        ("first monday of the month at 6am", "0 6 1-7 * 1"),
        ("1st and 15th at noon", "0 12 1,15 * *"),
        ("hourly", "0 * * * *"),
        ("9:30", "30 9 * * *"),
        ("Every day at 5 p.m.", "0 17 * * *"),
        ("at 9 o\N{RIGHT SINGLE QUOTATION MARK}clock", "0 9 * * *"),
        ("Mon–Fri 9:30", "30 9 * * 1-5"),
        ("mon, wed, and fri at 9:15, 12:15 and 17:15", "15 9,12,17 * * 1,3,5"),
        ("mondays and fridays at 9 and 17", "0 9,17 * * 1,5"),
        ("weekdays except wednesday at 9:00", "0 9 * * 1,2,4,5"),
        ("daily at 9 except in August", "0 9 * 1-7,9-12 *"),
        ("from friday to monday at noon", "0 12 * * 0,1,5,6"),
        ("friday 13th at 9:00", "0 9 13 * 5"),
        ("first and third monday of the month at 9:00", "0 9 1-7,15-21 * 1"),
        ("every second monday of the month at 9:00", "0 9 8-14 * 1"),
        ("at 9 a.m. on the 3rd of may", "0 9 3 5 *"),
        ("15 january at noon", "0 12 15 1 *"),
        ("January 1 and 15 at noon", "0 12 1,15 1 *"),
        ("every other hour", "0 */2 * * *"),
        ("every 60 minutes", "0 * * * *"),
        ("every two hours between 8 and 18", "0 8-18/2 * * *"),
        ("every 15 minutes from 9 AM to 5 PM on weekdays", "*/15 9-16 * * 1-5"),
        ("every 15 minutes from 22 to 2", "*/15 0,1,22,23 * * *"),
        ("every 10 minutes from 3:00 to 3:30", "0-30/10 3 * * *"),
        ("hourly from 9:30 to 17:00", "30 9-16 * * *"),
        ("12 am", "0 0 * * *"),
        ("12:30 pm", "30 12 * * *"),
        ("first day of each month at 9:00", "0 9 1 * *"),
        (":30 on mondays", "30 * * * 1"),
        ("9.30pm", "30 21 * * *"),
        ("mondays at 9.30 a.m.", "30 9 * * 1"),
        ("half past nine", "30 9 * * *"),
        ("Half-past 9 pm on weekdays", "30 21 * * 1-5"),
        ("every 10 minutes of each hour", "*/10 * * * *"),
    ],
)
def test_english(text: str, cron: str) -> None:
    assert parse_phrase(text, "en") == cron


@pytest.mark.parametrize(
    ("language", "text", "cron"),
    [
        ("de", "werktags 9 Uhr", "0 9 * * 1-5"),
        ("de", "werktags um 9.30 Uhr", "30 9 * * 1-5"),
        ("de", "Mo-Fr 9:30", "30 9 * * 1-5"),
        ("de", "zwischen 8 und 18 Uhr alle 30 Minuten", "*/30 8-17 * * *"),
        ("de", "jeden Monat am 3. um 9 Uhr", "0 9 3 * *"),
        ("de", "TÄGLICH UM 9:30", "30 9 * * *"),
        ("de-at", "jede zweite Stunde", "0 */2 * * *"),
        ("de", "every 15 minutes", "*/15 * * * *"),
        ("fr", "tous les jours à 9h30", "30 9 * * *"),
        ("fr", "à 9 heures 30", "30 9 * * *"),
        ("fr", "le 1er et le 15 à midi", "0 12 1,15 * *"),
        ("fr", "en semaine a 9 h 30", "30 9 * * 1-5"),
        ("fr", "toutes les 15 minutes de 8h à 18h", "*/15 8-17 * * *"),
        ("es", "todos los días a las 9:30", "30 9 * * *"),
        ("es", "los dias 1 y 15 al mediodía", "0 12 1,15 * *"),
        ("es", "cada 15 minutos entre las 8:00 y las 18:00", "*/15 8-17 * * *"),
        ("es-mx", "lunes, miércoles y viernes a las 8:00 y a las 17:00", "0 8,17 * * 1,3,5"),
        ("it", "every 5 minutes", "*/5 * * * *"),
    ],
)
def test_other_languages(language: str, text: str, cron: str) -> None:
    assert parse_phrase(text, language) == cron


REFUSED = [
    ("every other sunday", "Cron cannot count weeks", "Sundays at midnight"),
    ("every 2 weeks on monday at 9:00", "Cron cannot count weeks", "Mondays at 9 AM"),
    ("every second monday at 9:00", "Cron cannot count weeks", "Second Monday of the month at 9 AM"),
    ("every 7 minutes", "every 7 minutes evenly", "Every 7 minutes from the start of each hour"),
    ("every 90 minutes", "every 90 minutes evenly", "Hourly"),
    ("every 5 hours", "every 5 hours evenly", "Every 5 hours from midnight"),
    ("every 48 hours", "every 48 hours evenly", "Daily at midnight"),
    ("every other day at noon", "every 2 days evenly", "Odd days of the month at noon"),
    ("every 3 days at noon", "every 3 days evenly", "0 12 */3 * *"),
    ("every 3 months on the 1st at noon", "name the months",
     "On the 1st of January, April, July and October at noon"),
    ("every 2 years on may 1 at noon", "Cron cannot count years", "Yearly on May 1 at noon"),
    ("every 30 seconds", "whole minutes", "Every minute"),
    ("last friday of the month at 17:00", "last day or weekday", "Fourth Friday of the month at 5 PM"),
    ("last day of the month at 17:00", "last day or weekday", "Monthly on the 28th at 5 PM"),
    ("fifth friday of the month at noon", "first to fourth", "Fourth Friday of the month at noon"),
    ("weekends", "The time is missing.", "Weekends at midnight"),
    ("daily", "The time is missing.", "Daily at midnight"),
    ("weekly at 9:00", "The weekday is missing.", "Sundays at 9 AM"),
    ("monthly at 9:00", "The day of the month is missing.", "Monthly on the 1st at 9 AM"),
    ("monthly on mondays at 9:00", "The day of the month is missing.", "First Monday of the month at 9 AM"),
    ("yearly", "The date is missing.", "Yearly on January 1 at midnight"),
    ("weekdays from 9 to 17", "how often", "Hourly from 9 AM to 5 PM on weekdays"),
    ("every 5 minutes from 9:00", "from one time to another", "Every 5 minutes from 9 AM to 11:55 PM"),
    ("hourly at midnight", "from one time to another", "Hourly"),
    ("every 15 minutes from 9 to 5", "Without AM or PM", "Every 15 minutes from 9 AM to 4:45 PM"),
    ("every 15 minutes from 8:30 to 18", "halfway", "Every 15 minutes from 9 AM to 5:45 PM"),
    ("every 15 minutes from 22:00 to 2:00 on mondays", "past midnight",
     "Every 15 minutes from 10 PM to 11:45 PM on Mondays"),
    ("at 9:30 and 17:00", "each of its minutes", "Daily at 9 AM, 9:30 AM, 5 PM and 5:30 PM"),
    ("mondays at 9:00 and fridays at 17:00", "same times on all of its days", ""),
    ("mondays at 9:00, fridays at noon", "same times on all of its days", ""),
    ("at noon and on mondays", "same times on all of its days", ""),
    ("at 9:00 on mondays at 17:00", "contradict", ""),
    ("monday to friday to sunday at 9:00", "contradict", ""),
    ("daily except the 1st monday at 9:00", "contradict", ""),
    ("every monday and the 1st at noon", "both the date and the weekday", ""),
    ("monday, 1st at noon", "both the date and the weekday", ""),
    ("first weekday of the month at 9:00", "first or last of several weekdays", ""),
    ("daily at 9 except from 3 to 4", "can be excepted", ""),
    ("monday 9", '"9" can be a time or a date', ""),
    ("10th to 3rd at noon", "must be the smaller one", ""),
    ("hourly every 5 minutes", "contradict", ""),
    ("every 10 minutes on mondays hourly", "contradict", ""),
    ("february 30 at noon", "none of these months has such a day", ""),
    ("february 30", "none of these months has such a day", ""),
    ("mondays except mondays at 9:00", "contradict", ""),
    ("march 1 at noon (leap years only)", "contradict", ""),
    ("13 pm", "from 1 to 12", ""),
    ("every banana", '"banana" is not understood', ""),
    ("at 15 minutes", '"15 minutes" is not understood', ""),
    ("mondays at 9:00 in the first week of january", '"first week" is not understood', ""),
    ("daily at \N{ARABIC-INDIC DIGIT NINE} AM", '"\N{ARABIC-INDIC DIGIT NINE}" is not understood', ""),
    ("th mondays at 9:00", '"th" is not understood', ""),
    ("9:00 to", '"to" is not understood', ""),
    ("no mondays at 9:00", '"no" is not understood', ""),
    ("2026-01-01", '"2026" is not understood', ""),
    ("9.30", '"9.30" is not understood', ""),
    ("9.5 pm", '"9.5" is not understood', ""),
    ("half 9", '"half" is not understood', ""),
    ("half past", '"half-past" is not understood', ""),
    ("half past noon", '"half-past" is not understood', ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence", "nearest"), REFUSED)
def test_refused_with_one_sentence_and_what_is_nearest(text: str, sentence: str, nearest: str) -> None:
    with pytest.raises(InvalidPhrase) as caught:
        parse_phrase(text, "en")
    said, _, offered = str(caught.value).partition(" Nearest: ")
    assert sentence in said
    assert said.endswith(".")
    assert ". " not in said
    assert offered == (f'"{nearest}".' if nearest else "")


def test_every_reason_is_tested() -> None:
    codes = set()
    for text, *_ in REFUSED:
        with pytest.raises(InvalidPhrase) as caught:
            parse_phrase(text, "en")
        codes.add(caught.value.code)
    assert codes == set(SENTENCES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", [text for text, _, nearest in REFUSED if nearest])
def test_what_is_nearest_can_be_typed(text: str, language: str) -> None:
    with translation.override(language):
        with pytest.raises(InvalidPhrase) as caught:
            parse_phrase(text, "en")
        *_, offered = re.findall(r"[\"„«]\s*([^\"„“«»]+?)\s*[\"“»]", str(caught.value))
        assert caught.value.nearest is not None
        assert read_schedule(offered, language).values == caught.value.nearest.values


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("at 25:00", "hour: 25 is out of range (0-23)."),
        ("at 9:61", "minute: 61 is out of range (0-59)."),
        ("on the 32nd at noon", "day of month: 32 is out of range (1-31)."),
        ("every 0 minutes", "minute: a step of 0 never advances."),
    ],
)
def test_the_grammar_says_what_is_out_of_range(text: str, sentence: str) -> None:
    with pytest.raises(InvalidCron) as caught:
        parse_phrase(text, "en")
    assert str(caught.value) == sentence


def test_what_begins_two_names_is_neither() -> None:
    with pytest.raises(InvalidPhrase) as caught:
        parse_phrase("mar a las 9:00", "es")  # martes, marzo
    assert caught.value.code == "unknown"
    assert parse_phrase("marz a las 9:00", "es") == "0 9 * 3 *"


def test_a_refusal_is_that_of_the_language() -> None:
    with translation.override("de"), pytest.raises(InvalidPhrase) as caught:
        parse_phrase("jeden zweiten Sonntag um 4 Uhr", "de")
    assert caught.value.code == "week"
    with translation.override("de"):
        assert "Jeden zweiten Sonntag im Monat um 4 Uhr" in str(caught.value)


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if not vector["valid"]])
def test_what_looks_like_cron_is_told_by_the_grammar(vector: dict[str, str]) -> None:
    with pytest.raises(InvalidCron) as grammar:
        CronExpression.parse(vector["expression"])
    with pytest.raises(InvalidCron) as caught:
        read_schedule(vector["expression"], "en")
    assert str(caught.value) == str(grammar.value)


@bounded
@given(RIGHT)
def test_no_cron_expression_is_read_as_words(text: str) -> None:
    assert accepted(text) is None or not is_phrase(text)


def answer(text: str, language: str) -> str:
    """The expression, or why there is none; every other exception fails the test."""
    try:
        return parse_phrase(text, language)
    except InvalidCron as refusal:
        return str(refusal)


WORD = st.sampled_from(sorted({word for code in LANGUAGES for word in vocabulary(code)}))
NUMBER = st.integers(0, 70).map(str) | st.sampled_from(["9:30", ":05", "1st", "15.", "6pm", "24:00", "017"])


@bounded
@given(st.lists(WORD | NUMBER, max_size=12).map(" ".join), st.sampled_from(LANGUAGES))
@example("the 1st except monday 1st monday", "en")
@example("pm", "en")
@example("o'clock", "en")
@example("h 9 h 30 30", "fr")
def test_any_order_of_known_words_is_read_or_refused(text: str, language: str) -> None:
    said = answer(text, language)
    assert 0 < len(said) < 400


@bounded
@given(st.text(max_size=80), st.sampled_from(LANGUAGES))
@example("٩:٣٠", "en")
@example("9:30 ²", "en")
@example("\u202eweekdays at 9:30", "en")
@example("\ud800", "de")
@example("weekdays at 9:30\x00", "en")
@example("\ufdfa" * LONGEST, "fr")
@example("monday " * 100_000, "en")
@example("9" * 500, "en")
def test_no_text_raises_anything_else(text: str, language: str) -> None:
    said = answer(text, language)
    assert 0 < len(said) < 400
    assert said.isprintable()


def test_fullwidth_digits_are_digits() -> None:
    assert parse_phrase("weekdays at \N{FULLWIDTH DIGIT NINE}:30", "en") == "30 9 * * 1-5"


def test_a_phrase_is_as_long_as_an_expression_may_be() -> None:
    with pytest.raises(InvalidCron) as caught:
        parse_phrase("9:30 " + "," * LONGEST, "en")
    assert caught.value.code == "too_long"


def test_the_documents_examples_are_read() -> None:
    section = PAGE.read_text().partition("## Schedules in words")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)` \|$", section, re.MULTILINE)
    assert len(rows) > 5
    assert {typed: parse_phrase(typed, "en") for typed, _ in rows} == dict(rows)
