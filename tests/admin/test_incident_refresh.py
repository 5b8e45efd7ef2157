"""What the script gets of the pages of incidents when it asks again: what is new, or nothing."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client

from scheduled_tasks.models import Incident, Notice, NoticeState, database_now
from tests.admin.test_incidents import INCIDENTS, OPS, make_fault, page, viewer
from tests.alerts.rows import make_incident, make_notice

pytestmark = pytest.mark.django_db


def version_in(text: str) -> str:
    (found,) = re.findall(r'data-version="([^"]+)"', text)
    return html.unescape(found)


def test_the_script_gets_what_is_new_and_nothing_else(admin_client: Client) -> None:
    incident, other = make_incident(), make_fault()
    story = f"{incident.pk}/change/"
    notice = make_notice(OPS, incident)
    for change in (
        lambda: Incident.objects.filter(pk=incident.pk).update(acknowledged_at=database_now()),
        lambda: Incident.objects.filter(pk=incident.pk).update(muted_for_good=True, muted_by="bert"),
        lambda: Incident.objects.filter(pk=incident.pk).update(run_count=9),
        lambda: Notice.objects.filter(pk=notice.pk).update(state=NoticeState.SENT, due_at=None),
        lambda: Incident.objects.filter(pk=incident.pk).update(open_key=None, closed_at=database_now()),
    ):
        versions = {path: version_in(page(admin_client, path)) for path in ("", story)}
        asked = {path: {"ST-Request": "1", "If-None-Match": version} for path, version in versions.items()}
        for path, headers in asked.items():
            answer = admin_client.get(INCIDENTS + path, headers=headers)
            assert (answer.status_code, answer.content) == (304, b"")
        change()
        for path, headers in asked.items():
            text = admin_client.get(INCIDENTS + path, headers=headers).content.decode()
            assert "<html" not in text
            assert version_in(text) != versions[path]
    unchanged = version_in(page(admin_client, f"{other.pk}/change/"))
    headers = {"ST-Request": "1", "If-None-Match": unchanged}
    assert admin_client.get(f"{INCIDENTS}{other.pk}/change/", headers=headers).status_code == 304


def test_a_version_is_of_a_viewers_rights(admin_client: Client) -> None:
    path = f"{make_incident().pk}/change/"
    headers = {"ST-Request": "1", "If-None-Match": version_in(page(admin_client, path))}
    text = viewer("view_incident").get(INCIDENTS + path, headers=headers).content.decode()
    assert "Acknowledge</button>" not in re.sub(r"\s+", "", text)
