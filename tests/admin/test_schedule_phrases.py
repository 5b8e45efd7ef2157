"""Schedules in words in the editor: shown as cron before they are saved, and stored as nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from scheduled_tasks import scheduled_task
from scheduled_tasks.cron import InvalidCron
from scheduled_tasks.operations import Actor, reschedule
from tests.admin.test_changes import log
from tests.admin.test_list import LIST
from tests.factories import make_task

pytestmark = pytest.mark.django_db

SCRIPT = {"ST-Request": "1"}


def preview(client: Client, task: Any, text: str, language: str = "en") -> str:
    query = {"cron": text, "zone": "UTC"}
    headers = {**SCRIPT, "Accept-Language": language}
    return client.get(f"{LIST}{task.pk}/schedule/preview/", query, headers=headers).content.decode()


def post(client: Client, task: Any, text: str, *, script: bool = False, **values: str) -> Any:
    data = {"cron": text, "zone": "UTC", "next": LIST, **values}
    return client.post(f"{LIST}{task.pk}/schedule/", data, headers=SCRIPT if script else {})


def shown(page: str) -> str:
    """What the page says that the schedule will be stored as, and sends back as ``shown``."""
    told = re.search(r"Will be stored as <code>([^<]*)</code>", page)
    sent = re.search(r'name="shown" value="([^"]*)"', page)
    assert (told and told[1]) == (sent and sent[1])
    return told[1] if told else ""


def test_preview_says_what_words_are_stored_as(admin_client: Client) -> None:
    text = preview(admin_client, make_task(), "weekdays at 9:30")
    assert shown(text) == "30 9 * * 1-5"
    assert "<h3>Weekdays at 9:30 AM</h3>" in text
    assert text.count("<li>") == 5


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("30 9 * * 1-5", ""), (" 30 9 * * 1-5 ", ""), ("@daily", "0 0 * * *"), ("0 4 * * SUN", "0 4 * * 0")],
)
def test_preview_says_what_cron_is_stored_as_where_it_differs(
    admin_client: Client, typed: str, stored: str
) -> None:
    assert shown(preview(admin_client, make_task(), typed)) == stored


@pytest.mark.parametrize(
    ("language", "typed"),
    [
        ("de", "Montags bis freitags um 9:30 Uhr"),
        ("fr", "du lundi au vendredi à 9h30"),
        ("es", "de lunes a viernes a las 9:30"),
        ("fr", "weekdays at 9:30"),
    ],
)
def test_words_are_read_in_the_language_of_the_page(admin_client: Client, language: str, typed: str) -> None:
    assert "<code>30 9 * * 1-5</code>" in preview(admin_client, make_task(), typed, language)


def test_words_of_another_language_are_not_read(admin_client: Client) -> None:
    text = preview(admin_client, make_task(), "de lunes a viernes a las 9:30")
    assert "is not understood" in text
    assert shown(text) == ""


def test_refused_words_come_with_the_nearest_schedule(admin_client: Client) -> None:
    text = preview(admin_client, make_task(), "every other sunday at 4:00")
    assert "Cron cannot count weeks. Nearest: &quot;Sundays at 4 AM&quot;." in text
    assert "Current schedule: Daily at 3 AM" in text
    assert shown(text) == ""


@pytest.mark.parametrize("script", [False, True])
def test_words_are_saved_once_their_cron_was_shown(admin_client: Client, script: bool) -> None:
    task = make_task()
    response = post(admin_client, task, "weekdays at 9:30", script=script)
    text = response.content.decode()
    assert response.status_code == 422
    assert "Not saved yet. This will be stored as 30 9 * * 1-5: save again to confirm." in text
    task.refresh_from_db()
    assert task.crontab.hour == "3"
    assert log() == []

    response = post(admin_client, task, "weekdays at 9:30", script=script, shown=shown(text))
    assert response.status_code == (200 if script else 303)
    task.refresh_from_db()
    crontab = task.crontab
    assert (crontab.minute, crontab.hour, crontab.day_of_week) == ("30", "9", "1-5")
    assert log() == ["Schedule: 0 3 * * * (UTC) → 30 9 * * 1-5 (UTC)."]


def test_the_page_keeps_the_words_and_sends_what_it_showed(admin_client: Client) -> None:
    text = post(admin_client, make_task(), "weekdays at 9:30").content.decode()
    assert 'name="cron" value="weekdays at 9:30"' in text
    assert text.count('name="shown"') == 1


@pytest.mark.parametrize("seen", ["", "0 9 * * *", "x", "30 9 * * 1-5 "])
def test_words_that_changed_after_the_preview_are_shown_again(admin_client: Client, seen: str) -> None:
    task = make_task()
    status = post(admin_client, task, "weekdays at 9:30", shown=seen).status_code
    assert status == (303 if seen.strip() == "30 9 * * 1-5" else 422)


def test_cron_is_saved_at_once(admin_client: Client) -> None:
    task = make_task()
    assert post(admin_client, task, "@hourly").status_code == 303
    task.refresh_from_db()
    assert task.crontab.hour == "*"


def test_an_unknown_zone_is_told_before_the_cron_of_the_words(admin_client: Client) -> None:
    response = post(admin_client, make_task(), "weekdays at 9:30", zone="Mars/Phobos")
    assert response.status_code == 422
    assert "stored as" not in response.content.decode()


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_the_words_in_the_hint_are_read(admin_client: Client, language: str) -> None:
    task = make_task()
    url = f"{LIST}{task.pk}/schedule/"
    page = admin_client.get(url, headers={"Accept-Language": language}).content.decode()
    hint = re.search(r'id="st-hint-\d+">(.*?)</p>', page, re.DOTALL)
    assert hint
    words = hint[1].rpartition("<br>")[2].partition(": ")[2].strip()
    assert "<code>30 9 * * 1-5</code>" in preview(admin_client, task, words, language)


@pytest.mark.parametrize("typed", ["monday " * 20_000, "٩:٣٠", "\u202eweekdays at 9:30", "every <b>day</b>"])
def test_hostile_words_get_a_sentence(admin_client: Client, typed: str) -> None:
    text = post(admin_client, make_task(), typed).content.decode()
    assert "not saved" in text
    assert "<b>day" not in text
    alert = re.search(r'role="alert".*?<p>(.*?)</p>', text, re.DOTALL)
    assert alert
    assert len(alert[1]) < 500
    assert "\u202e" not in alert[1]


def test_code_and_operations_take_cron_only() -> None:
    with pytest.raises(ValueError, match="5 fields"):
        scheduled_task("weekdays at 9:30")(lambda: None)
    with pytest.raises(InvalidCron):
        reschedule(
            make_task().pk,
            actor=Actor("anna", lambda task, entry: None),
            expression="weekdays at 9:30",
            timezone="UTC",
        )
