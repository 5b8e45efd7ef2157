"""The labels go back to the schedules that they were made of, in every language."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.utils import translation

from scheduled_tasks.cron import CronExpression, InvalidCron
from scheduled_tasks.cron.labels import pattern_label
from scheduled_tasks.cron.phrases import parse_phrase
from scheduled_tasks.cron.phrases.vocabulary import LANGUAGES

VECTORS = json.loads((Path(__file__).parent.parent / "cron_vectors.json").read_text())
CANONICAL = sorted({vector["canonical"] for vector in VECTORS if vector["valid"]})
WRITTEN_OTHERWISE = {
    "0 0 1 */3 *": "0 0 1 1,4,7,10 *",
    "0 0 1-31 * 1": "0 0 * * 1",
    "0 10 * * 6,0": "0 10 * * 0,6",
    "0 22-23,0-5 * * *": "0 0-5,22,23 * * *",
    "0 3 * * 5-6,0": "0 3 * * 0,5,6",
    "10-20/5,40 * * * *": "10,15,20,40 * * * *",
    "5-59/15 * * * *": "5,20,35,50 * * * *",
}
"""A label does not say in which of several ways the same values were written."""
GENERATED = 3000
DAYS = ("*", "*", "*", "1-7", "8-14", "15-21", "22-28", "*/2", "2-30/2", "1-31/2", "29", "30", "31", "28-31")
WEEKDAYS = ("*", "*", "*", "1-5", "0,6", "1", "5", "1-6", "0-5", "5-6,0")


def _field(rng: random.Random, low: int, high: int, star: float) -> str:
    first, last = sorted(rng.sample(range(low, high + 1), 2))
    step = rng.randint(1, (high + 1) // 2)
    several = ",".join(map(str, rng.sample(range(low, high + 1), rng.randint(1, min(6, high - low)))))
    usual = [str(first), f"{first}-{last}", f"*/{step}", f"{first}-{last}/{step}", several]
    return "*" if rng.random() < star else rng.choice(usual)


def _expressions(seed: int) -> Iterator[CronExpression]:
    rng = random.Random(seed)
    for _ in range(GENERATED):
        minute, hour = _field(rng, 0, 59, 0.15), _field(rng, 0, 23, 0.3)
        day = rng.choice([*DAYS, _field(rng, 1, 31, 0.3)])
        month, weekday = _field(rng, 1, 12, 0.6), rng.choice([*WEEKDAYS, _field(rng, 0, 6, 0.3)])
        with suppress(InvalidCron):  # a date that no month has
            yield CronExpression.parse(f"{minute} {hour} {day} {month} {weekday}")


def _labelled(expressions: Iterator[CronExpression]) -> Iterator[tuple[CronExpression, str]]:
    for cron in expressions:
        if label := pattern_label(cron.canonical, cron.values):
            yield cron, label


@pytest.mark.parametrize("language", LANGUAGES)
def test_generated_schedules_come_back_from_their_labels(language: str) -> None:
    made, wrong = 0, []
    with translation.override(language):
        for cron, label in _labelled(_expressions(LANGUAGES.index(language))):
            made += 1
            back = CronExpression.parse(parse_phrase(label, language))
            if (back.values, back.label) != (cron.values, label):
                wrong.append((cron.canonical, label, back.canonical))
    assert wrong == []
    assert made > GENERATED // 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_known_schedules_come_back_as_they_are_stored(language: str) -> None:
    with translation.override(language):
        labelled = dict(_labelled(map(CronExpression.parse, CANONICAL)))
        back = {cron.canonical: parse_phrase(label, language) for cron, label in labelled.items()}
    assert back == {canonical: WRITTEN_OTHERWISE.get(canonical, canonical) for canonical in back}
    assert len(back) > 40


def test_an_english_label_is_read_in_every_language() -> None:
    labels = {vector["canonical"]: vector["label"] for vector in VECTORS if vector["valid"]}
    for cron, label in _labelled(map(CronExpression.parse, labels)):
        assert CronExpression.parse(parse_phrase(label, "fr")).values == cron.values


def test_no_two_schedules_share_a_label() -> None:
    for language in LANGUAGES:
        with translation.override(language):
            seen: dict[str, CronExpression] = {}
            for cron, label in _labelled(_expressions(9)):
                assert seen.setdefault(label, cron).values == cron.values


def test_a_label_of_cron_descriptor_is_read_as_the_same_schedule_or_not_at_all() -> None:
    read = 0
    others = [cron for cron in _expressions(5) if not pattern_label(cron.canonical, cron.values)]
    assert len(others) > 100
    for cron in others:
        with suppress(InvalidCron):
            assert CronExpression.parse(parse_phrase(cron.label, "en")).values == cron.values
            read += 1
    assert read
