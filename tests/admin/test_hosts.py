"""The page in projects unlike the example: two admin sites, an address prefix, atomic requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client
from django.urls import clear_url_caches, resolve, reverse, set_script_prefix
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule

from scheduled_tasks.models import Status, TaskRun
from scheduled_tasks.operations import publishing
from tests.admin.test_matrix import Offers
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

WAYS = {"plain": {}, "script": {"ST-Request": "1"}}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "send", lambda *args: None)


@pytest.fixture
def two_sites(settings: Any) -> Iterator[None]:
    """A project with the sites ``admin`` and ``operations``."""
    settings.ROOT_URLCONF = "tests.urls_two_sites"
    clear_url_caches()
    yield
    clear_url_caches()


def pages(site: str, task: Any, run: TaskRun) -> Iterator[str]:
    """Every page and fragment of the wing on one site."""
    base = f"{site}scheduled_tasks/"
    tails = ("change/", "schedule/", "schedule/preview/", "pause/", "runs/new/", "history/")
    heads = ("scheduledtask/", "scheduledtask/rows/", "scheduledtask/timeline/", "taskrun/")
    yield from (f"{base}{head}" for head in heads)
    yield from (f"{base}scheduledtask/{task.pk}/{tail}" for tail in tails)
    yield from (f"{base}scheduledtask/{task.pk}/change/?run={run.pk}", f"{base}taskrun/{run.pk}/change/")


def leads_elsewhere(client: Client, url: str, site: str, way: str) -> list[str]:
    """The links and forms of a page that do not stay on its site."""
    response = client.get(url, headers=WAYS[way])
    assert response.status_code == 200, url
    found = {urljoin(url, offer) for _method, offer in Offers(response.content.decode()).found}
    return [offer for offer in found if not urlsplit(offer).path.startswith(site) and offer != "/"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("site", ["/admin/", "/operations/"])
def test_pages_stay_on_their_own_site(admin_client: Client, two_sites: None, site: str, way: str) -> None:
    task = make_task()
    run = make_run(task, Status.FAILED, error="no")
    for url in pages(site, task, run):
        assert leads_elsewhere(admin_client, url, site, way) == [], url


def test_changes_stay_on_their_own_site(admin_client: Client, two_sites: None) -> None:
    task = make_task()
    base = "/operations/scheduled_tasks/scheduledtask/"
    answer = admin_client.post(f"{base}{task.pk}/runs/", headers=WAYS["script"]).content.decode()
    assert f"/operations/scheduled_tasks/taskrun/{TaskRun.objects.get().pk}/change/" in answer
    assert "/admin/" not in answer
    for tail, data in [("enabled/", {"enabled": "0"}), ("schedule/", {"cron": "0 4 * * *", "zone": "UTC"})]:
        assert admin_client.post(f"{base}{task.pk}/{tail}", data)["Location"] == base


def test_strangers_are_led_to_the_sites_own_login_and_refusal(two_sites: None, admin_user: Any) -> None:
    client = Client()
    response = client.get("/operations/scheduled_tasks/scheduledtask/")
    assert response["Location"].startswith("/operations/login/?next=/operations/")
    admin_user.is_superuser = False
    admin_user.save()
    client.force_login(admin_user)
    response = client.get("/operations/scheduled_tasks/scheduledtask/")
    assert response.status_code == 403
    assert b"Operations" in response.content


@pytest.fixture
def prefix(settings: Any) -> Iterator[str]:
    """The project lies below an address of another one."""
    settings.FORCE_SCRIPT_NAME = "/sub"
    set_script_prefix("/sub/")  # as Django does for each request that a server hands it
    yield "/sub/"
    set_script_prefix("/")


@pytest.mark.parametrize("way", WAYS)
def test_addresses_carry_the_projects_prefix(admin_client: Client, prefix: str, way: str) -> None:
    task = make_task()
    run = make_run(task, Status.FAILED, error="no")
    for url in pages("/admin/", task, run):
        html = admin_client.get(url, headers=WAYS[way]).content.decode()
        offers = {urljoin("/sub" + url, offer) for _method, offer in Offers(html).found}
        assert [offer for offer in offers if not f"{offer}/".startswith(prefix)] == []
        assert 'data-poll="/admin' not in html
    response = admin_client.post(f"/admin/scheduled_tasks/scheduledtask/{task.pk}/enabled/", {"enabled": "0"})
    assert response["Location"] == "/sub/admin/scheduled_tasks/scheduledtask/"
    assert admin_client.get("/admin/scheduled-tasks/")["Location"].startswith("/sub/admin/")


def test_project_without_the_short_route(admin_client: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.urls_plain"
    clear_url_caches()
    assert admin_client.get("/admin/scheduled_tasks/scheduledtask/").status_code == 200
    assert resolve("/admin/scheduled_tasks/scheduledtask/").url_name
    assert reverse("admin:scheduled_tasks_scheduledtask_changelist")


def test_admin_of_the_projects_own_is_used(admin_client: Client, two_sites: None) -> None:
    make_task("one")
    make_task("two")
    for site, shown in [("admin", 2), ("operations", 1)]:
        html = admin_client.get(f"/{site}/scheduled_tasks/scheduledtask/").content.decode()
        assert html.count('class="st-row"') == shown


def offset_zone(get_response: Any) -> Any:
    """A middleware for people whose zone is only known as an offset."""

    def respond(request: Any) -> Any:
        with timezone.override(timezone.get_fixed_timezone(-210)):
            return get_response(request)

    return respond


def test_project_that_activates_mere_offsets(admin_client: Client, settings: Any) -> None:
    hourly = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    run = make_run(make_task(cron=None, interval=hourly))
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.offset_zone"]
    for page in (*pages("/admin/", run.task, run), "/admin/scheduled_tasks/scheduledtask/timeline/"):
        assert admin_client.get(page).status_code == 200, page
