"""Nothing worked out for one viewer, site or address is ever given to another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from django.urls import clear_url_caches, path

from scheduled_tasks.access import Action
from scheduled_tasks.admin import IncidentAdmin, ScheduledTaskAdmin, TaskRunAdmin
from scheduled_tasks.admin.task_list import StateFilter
from scheduled_tasks.models import Incident, ScheduledTask, Status, TaskRun
from tests.alerts.rows import make_incident
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

HEADERS = {"ST-Request": "1"}


class OwnTasks(admin.SimpleListFilter):
    """Without a word in the address: each user's own."""

    title = "own"
    parameter_name = "own"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "yes")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(name__startswith=request.user.get_username())


class ByFilter(ScheduledTaskAdmin):
    """A list filter that depends on the user."""

    list_filter = (StateFilter, OwnTasks)


class BySearch(ScheduledTaskAdmin):
    """A search that depends on the user."""

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        found, duplicates = super().get_search_results(request, queryset, search_term)
        return found.filter(name__startswith=request.user.get_username()), duplicates


class ByQueryset(ScheduledTaskAdmin):
    """A queryset that depends on the user, and shorter pages."""

    list_per_page = 1

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(name__startswith=request.user.get_username())


class OwnRuns(TaskRunAdmin):
    """Runs that depend on the user."""

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(name__startswith=request.user.get_username())


class AnybodysTasks(ScheduledTaskAdmin):
    """A rule of its own for who may change tasks."""

    def may(self, request: HttpRequest, action: Action) -> bool:
        return action == Action.VIEW or request.user.get_username() == "anna"


def site(
    name: str,
    model_admin: type[ScheduledTaskAdmin],
    run_admin: type[TaskRunAdmin] = TaskRunAdmin,
    incidents: type[IncidentAdmin] = IncidentAdmin,
) -> admin.AdminSite:
    made = admin.AdminSite(name=name)
    made.register(ScheduledTask, model_admin)
    made.register(TaskRun, run_admin)
    made.register(Incident, incidents)
    return made


class OwnIncidents(IncidentAdmin):
    """Incidents that depend on the user."""

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(subject__startswith=request.user.get_username())


class NoIncidents(IncidentAdmin):
    """Incidents that nobody may see."""

    def may(self, request: HttpRequest, action: Action) -> bool:
        return False


class Distinct(ByQueryset):
    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).distinct()


class Sliced(ScheduledTaskAdmin):
    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request)[:1]


KINDS = {"distinct": Distinct, "by-filter": ByFilter, "by-search": BySearch, "by-queryset": ByQueryset}
urlpatterns = [
    *(path(f"{name}/", site(name, kind).urls) for name, kind in KINDS.items()),
    path("sliced/", site("sliced", Sliced).urls),
    path("by-rule/", site("by-rule", AnybodysTasks).urls),
    path("own-runs/", site("own-runs", ByQueryset, OwnRuns).urls),
    path("own-incidents/", site("own-incidents", ScheduledTaskAdmin, incidents=OwnIncidents).urls),
    path("no-incidents/", site("no-incidents", ScheduledTaskAdmin, incidents=NoIncidents).urls),
    path("admin/", admin.site.urls),
]


@pytest.fixture(autouse=True)
def own_urls(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = __name__
    clear_url_caches()
    yield
    clear_url_caches()


def client_of(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser(name))
    return client


def names(text: str) -> set[str]:
    return set(re.findall(r'id="st-name-\d+"[^>]*>([^<]+)<', text))


def keys(text: str) -> str:
    found = re.findall(r'id="st-row-(\d+)" role="row" data-key="(\w+)"', text)
    return ".".join(map(":".join, found))


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_is_shown_another_viewers_tasks(kind: str) -> None:
    base = f"/{kind}/scheduled_tasks/scheduledtask/"
    anna, bert = client_of("anna"), client_of("bert")
    for name in ("anna", "bert"):
        make_task(f"{name}'s")
    for _ in range(2):
        for client, own in ((anna, {"anna&#x27;s"}), (bert, {"bert&#x27;s"}), (anna, {"anna&#x27;s"})):
            page = client.get(base).content.decode()
            assert names(page) == own
            refresh = client.get(f"{base}rows/", headers=HEADERS | {"ST-Rows": keys(page)})
            assert names(refresh.content.decode()) == set()
            assert names(client.get(f"{base}rows/", headers=HEADERS).content.decode()) == own
        make_run(ScheduledTask.objects.get(name="anna's"), Status.FAILED)


def test_a_refresh_with_anothers_version_brings_the_own_rows() -> None:
    base = "/by-search/scheduled_tasks/scheduledtask/"
    anna, bert = client_of("anna"), client_of("bert")
    theirs = make_task("anna's")
    shown = keys(anna.get(base).content.decode())
    version = anna.get(f"{base}rows/", headers=HEADERS | {"ST-Rows": shown})["ETag"]
    make_run(theirs, Status.FAILED)
    text = bert.get(f"{base}rows/", headers=HEADERS | {"ST-Rows": shown, "If-None-Match": version})
    assert names(text.content.decode()) == set()


def test_what_a_user_may_not_see_they_may_not_change() -> None:
    task = make_task("anna's")
    bert = client_of("bert")
    at = f"/by-queryset/scheduled_tasks/scheduledtask/{task.pk}"
    for tail in ("enabled", "skip", "default", "runs", "delete"):
        assert bert.post(f"{at}/{tail}/", {"enabled": "0", "skip": "1"}).status_code == 404, tail
    for tail in ("change", "schedule", "schedule/preview", "pause", "runs/new", "delete"):
        assert bert.get(f"{at}/{tail}/").status_code == 404, tail
    task.refresh_from_db()
    assert task.enabled
    assert not TaskRun.objects.exists()


def test_two_sites_never_see_each_others_pages() -> None:
    for n in range(3):
        make_task(f"root {n}")
    root = client_of("root")
    for _ in range(2):
        for name, number in (("admin", 3), ("by-queryset", 1), ("by-filter", 3), ("by-queryset", 1)):
            base = f"/{name}/scheduled_tasks/scheduledtask/"
            page = root.get(base).content.decode()
            assert len(names(page)) == number
            refresh = root.get(f"{base}rows/", headers=HEADERS | {"ST-Rows": keys(page)})
            assert names(refresh.content.decode()) == set()
            assert 'data-st-put="remove"' not in refresh.content.decode()


def test_no_page_imports_a_task_module(monkeypatch: pytest.MonkeyPatch) -> None:
    from celery import current_app

    def fail(*_args: Any) -> None:
        raise AssertionError("a page imports task modules")

    monkeypatch.setattr(current_app.loader, "import_default_modules", fail)
    run = make_run(make_task(task="tests.gone"), Status.FAILED)
    client = client_of("root")
    base = "/admin/scheduled_tasks/"
    at = f"{base}scheduledtask/{run.task_id}/"
    tails = ("change/", "schedule/", "schedule/preview/", "pause/", "runs/new/", "history/")
    pages = ("scheduledtask/", "scheduledtask/rows/", "scheduledtask/timeline/", "taskrun/", "incident/")
    found = [
        *(at + tail for tail in tails),
        *(base + page for page in pages),
        f"{base}taskrun/{run.pk}/change/",
    ]
    assert {client.get(page).status_code for page in found} == {200}


@pytest.mark.parametrize("rule", ["own-runs", "by-queryset"])
def test_runs_that_a_user_may_not_see_are_nowhere(rule: str) -> None:
    run = make_run(make_task("anna's"), Status.FAILED, error="a secret")
    queued = make_run(make_task("anna's second"), Status.QUEUED)
    base, bert = f"/{rule}/scheduled_tasks/taskrun/", client_of("bert")
    assert "a secret" in client_of("anna").get(f"{base}{run.pk}/change/").content.decode()
    for tail in ("", "export/?format=csv", "export/?format=json"):
        answer = bert.get(base + tail)
        text = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert f"/{run.pk}/change/".encode() not in text
        assert b"a secret" not in text
        assert b"second" not in text
    assert bert.get(f"{base}{run.pk}/change/").status_code == 404
    assert bert.post(f"{base}{run.pk}/retry/").status_code == 404
    assert bert.post(f"{base}{queued.pk}/cancel/").status_code == 404
    assert list(TaskRun.objects.order_by("pk").values_list("status", flat=True)) == [
        run.status,
        queued.status,
    ]


def test_who_may_see_every_task_sees_the_runs_of_those_that_are_gone(admin_client: Client) -> None:
    make_run(make_task("logs of May"))
    ScheduledTask.objects.all().delete()
    assert "logs of May" in admin_client.get("/admin/scheduled_tasks/taskrun/").content.decode()
    theirs = client_of("bert").get("/by-queryset/scheduled_tasks/taskrun/")
    assert "logs of May" not in theirs.content.decode()


def test_runs_of_tasks_beyond_a_slice_are_not_listed() -> None:
    for name in ("a-first", "b-second"):
        make_run(make_task(name))
    answer = client_of("anna").get("/sliced/scheduled_tasks/taskrun/export/?format=csv")
    found = b"".join(answer.streaming_content)
    assert (b"a-first" in found, b"b-second" in found) == (True, False)


def test_runs_that_a_user_may_not_see_are_not_in_the_drawer() -> None:
    task, bert = make_task("bert's"), client_of("bert")
    theirs, own = (make_run(task, Status.FAILED, name=name) for name in ("anna's", "bert's"))
    going_on = make_run(task, Status.RUNNING, name="anna's")
    shown = f"/own-runs/scheduled_tasks/scheduledtask/{task.pk}/change/?run={theirs.pk}&run={own.pk}"
    for headers in ({}, {"ST-Request": "1"}):
        text = bert.get(shown, headers=headers).content.decode()
        assert f'id="st-run-{own.pk}"' in text
        assert f'id="st-run-{theirs.pk}"' not in text
        assert f"/taskrun/{going_on.pk}/" not in text


def test_incidents_of_tasks_that_a_user_may_not_see_are_nowhere() -> None:
    theirs = make_incident("anna's")
    base, bert = "/own-runs/scheduled_tasks/incident/", client_of("bert")
    at = f"{base}{theirs.pk}/"
    assert "the source does not answer" in client_of("anna").get(f"{at}change/").content.decode()
    assert "anna" not in bert.get(base).content.decode()
    assert "?state=open" not in bert.get("/own-runs/scheduled_tasks/scheduledtask/").content.decode()
    assert bert.get(f"{at}change/").status_code == 404
    for tail, sent in (("acknowledge", {}), ("mute", {"span": "hour"}), ("unmute", {})):
        assert bert.post(f"{at}{tail}/", sent).status_code == 404, tail
    theirs.refresh_from_db()
    assert (theirs.acknowledged_by, theirs.muted_by) == ("", "")


def test_runs_that_a_user_may_not_see_are_in_no_story() -> None:
    theirs = make_incident("bert's")
    TaskRun.objects.update(name="anna's")
    text = client_of("bert").get(f"/own-runs/scheduled_tasks/incident/{theirs.pk}/change/").content.decode()
    assert "the source does not answer" not in text
    assert f"/taskrun/{theirs.first_run_id}/" not in text


def test_a_rule_for_tasks_holds_for_their_incidents() -> None:
    incident = make_incident()
    at = f"/by-rule/scheduled_tasks/incident/{incident.pk}/"
    anna, bert = client_of("anna"), client_of("bert")
    assert "Acknowledge" not in bert.get(f"{at}change/").content.decode()
    assert bert.post(f"{at}acknowledge/").status_code == 403
    assert anna.post(f"{at}acknowledge/").status_code == 303


def test_a_site_without_incidents_shows_no_way_to_them() -> None:
    make_incident("root's")
    without = admin.AdminSite(name="without")
    without.register(ScheduledTask, ScheduledTaskAdmin)
    without.register(TaskRun, TaskRunAdmin)
    urlpatterns.append(path("without/", without.urls))
    try:
        clear_url_caches()
        root = client_of("root")
        task = ScheduledTask.objects.get()
        for tail in ("", f"{task.pk}/change/"):
            text = root.get(f"/without/scheduled_tasks/scheduledtask/{tail}").content.decode()
            assert "/incident/" not in text
    finally:
        urlpatterns.pop()
        clear_url_caches()


@pytest.mark.parametrize(
    ("place", "seen"), [("own-incidents", ["anna"]), ("no-incidents", []), ("admin", ["anna", "bert"])]
)
def test_an_incident_that_its_admin_hides_is_shown_nowhere(place: str, seen: list[str]) -> None:
    incidents = {name: make_incident(name) for name in ("anna", "bert")}
    client, at = client_of("anna"), f"/{place}/scheduled_tasks/scheduledtask/"
    every = client.get(at).content.decode()
    words = re.sub(r"(<[^>]+>|\s)+", " ", every)
    assert re.findall(r"(\d+) with an incident", words) == ([str(len(seen))] if seen else [])
    for name, incident in incidents.items():
        shown = name in seen
        row = re.search(rf'id="st-row-{incident.task_id}".*?</tr>', every, re.DOTALL)
        assert row is not None
        assert ("st-mark" in row[0]) == shown
        for headers in ({}, HEADERS):
            drawer = client.get(f"{at}{incident.task_id}/change/", headers=headers).content.decode()
            assert ("st-incident-line" in drawer) == shown
        key = re.findall(r'data-key="(\w+)"', row[0])[0]
        asked = {**HEADERS, "ST-Rows": f"{incident.task_id}:{key}"}
        assert (
            f'id="st-row-{incident.task_id}"' not in client.get(f"{at}rows/", headers=asked).content.decode()
        )
    listed = client.get(f"{at}?state=incident").content.decode()
    assert [f'id="st-row-{each.task_id}"' in listed for each in incidents.values()] == [
        name in seen for name in incidents
    ]
    switched = client.post(f"{at}{incidents['bert'].task_id}/skip/", {"skip": "1"}, headers=HEADERS)
    assert ("st-mark" in switched.content.decode()) == ("bert" in seen)
