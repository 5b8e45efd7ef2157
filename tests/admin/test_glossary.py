"""Every word that the pages show of a task or a run is told."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client

from scheduled_tasks.admin.glossary import FLAGS, SCHEDULES, STATUSES
from scheduled_tasks.cron.phrases import parse_phrase
from scheduled_tasks.models import Flag, Status

WORDS = "/admin/scheduled_tasks/scheduledtask/words/"


def test_no_status_and_no_flag_is_left_out() -> None:
    assert set(STATUSES) == set(Status)
    assert set(FLAGS) == set(Flag)


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, {"ST-Request": "1"}], ids=["page", "drawer"])
def test_all_are_told(admin_client: Client, headers: dict[str, str]) -> None:
    text = admin_client.get(WORDS, headers=headers).content.decode()
    words = [*map(str, Status.labels), "Never run"]
    assert [word for word in words if word not in text] == []
    assert ("<html" in text) == (not headers)


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_the_schedules_in_words_are_read_as_the_cron_beside_them(admin_client: Client, language: str) -> None:
    page = admin_client.get(WORDS, headers={"Accept-Language": language}).content.decode()
    told = re.findall(r"<dt>([^<]+)</dt>\s*<dd><code[^>]*>([^<]+)</code>", page)
    assert [cron for _, cron in told] == list(SCHEDULES)
    assert [parse_phrase(unescape(words), language) for words, _ in told] == list(SCHEDULES)
