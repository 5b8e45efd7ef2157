"""The page on a host's own admin site, on two sites at once, and behind a prefix."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import set_script_prefix

from scheduled_tasks.models import Status
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db(transaction=True)

MODEL = "scheduled_tasks/scheduledtask"
SCRIPT = {"HX-Request": "true"}


def addresses(text: str) -> set[str]:
    """Every address within the site that a page names, static files aside."""
    found = re.findall(r'(?:href|action|formaction|data-[\w-]+)="(/[^"#?]+)', text)
    return {each for each in found if "/static/" not in each}


@pytest.mark.parametrize("site", ["admin", "operations"])
def test_every_address_stays_on_its_site(admin_client: Client, settings: Any, site: str) -> None:
    settings.ROOT_URLCONF = "tests.urls_sites"
    task = make_task()
    run = make_run(task, Status.FAILED)
    at = f"/{site}/{MODEL}/{task.pk}"
    pages = [
        f"/{site}/{MODEL}/", f"/{site}/{MODEL}/rows/?rows=", f"{at}/change/?run={run.pk}", f"{at}/schedule/",
        f"{at}/pause/", f"{at}/runs/new/", f"/{site}/scheduled_tasks/taskrun/",
        f"/{site}/scheduled_tasks/taskrun/{run.pk}/change/",
    ]  # fmt: skip
    for page in pages:
        for headers in ({}, SCRIPT):
            response = admin_client.get(page, headers=headers)
            assert response.status_code == 200
            strays = {
                each for each in addresses(response.content.decode()) if not each.startswith(f"/{site}/")
            }
            assert strays <= {"/"}, page


def test_answers_stay_on_their_site(
    admin_client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduled_tasks.publishing.send", lambda *args: None)
    settings.ROOT_URLCONF = "tests.urls_sites"
    task = make_task()
    at = f"/operations/{MODEL}/{task.pk}"
    asks = [("enabled/", {"enabled": "0"}), ("runs/", {}), ("schedule/", {"cron": "x", "zone": "UTC"})]
    for path, values in asks:
        text = admin_client.post(f"{at}/{path}", values, headers=SCRIPT).content.decode()
        assert not {each for each in addresses(text) if not each.startswith("/operations/")}
    assert admin_client.post(f"{at}/enabled/", {"enabled": "1"})["Location"] == f"/operations/{MODEL}/"


def test_page_works_behind_a_prefix(admin_client: Client) -> None:
    task = make_task()
    set_script_prefix("/behind/")
    try:
        response = admin_client.get(f"/admin/{MODEL}/", SCRIPT_NAME="/behind")
    finally:
        set_script_prefix("/")
    found = addresses(response.content.decode())
    assert f"/behind/admin/{MODEL}/{task.pk}/runs/" in found
    assert {each for each in found if not each.startswith("/behind")} == set()
