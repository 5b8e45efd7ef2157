"""Every address of the admin wing, every kind of person, every way of asking: exactly what may happen.

The addresses come from the URL resolver, so that a new one without an expectation here fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import Resolver404, resolve, reverse
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from scheduled_tasks.models import (
    CodeDefault,
    Incident,
    MaintenanceTask,
    MaintenanceWindow,
    ScheduledTask,
    Source,
    Status,
    TaskRun,
    TaskState,
    database_now,
)
from scheduled_tasks.operations import publishing
from tests.admin.addresses import (
    ADD,
    ADDRESSES,
    CHANGE,
    DELETE,
    ENDED,
    INCIDENT,
    INCIDENTS,
    MISSED,
    NO_ONE,
    NOBODY,
    ONCE,
    OPEN,
    PEOPLE,
    PERMISSIONS,
    POLICIES,
    RUN,
    STAFF,
    TASK,
    VIEW,
    WAYS,
    WINDOW,
    Ask,
    Rows,
    filled,
    log_change,
)
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db


def deny(request: Any, action: str) -> bool:
    return False


def only_view(request: Any, action: str) -> bool:
    return action == VIEW


def allow(request: Any, action: str) -> bool:
    return True


@pytest.fixture(params=PEOPLE)
def who(request: pytest.FixtureRequest, settings: Any) -> str:
    """Each kind of person in turn, under the rule that belongs to it."""
    policy = POLICIES.get(request.param)
    settings.SCHEDULED_TASKS = {
        "ACCESS_POLICY": f"tests.admin.test_matrix.{policy}" if policy else "",
        "ALERTS": {"default": ["mailto:ops@example.com"]},
    }
    return str(request.param)


@pytest.fixture
def client(who: str) -> Client:
    """The person's client."""
    client = Client()
    if who == "anonymous":
        return client
    user = User.objects.create_user(
        who, is_staff=PEOPLE[who] is not None, is_superuser=who.startswith("root")
    )
    codenames = PERMISSIONS.get(who, [])
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


@pytest.fixture
def rows() -> Rows:
    """A task that runs as before and differs from its code, with a failed run, an incident; an open run."""
    task, busy = make_task(args="[1]"), make_task("busy")
    CodeDefault.objects.create(
        task_id=task.pk, name=task.name, source=Source.DECORATOR, declared={"description": "Deletes old rows"}
    )
    TaskState.objects.create(task_id=task.pk, runs_as_before=True)
    failed = make_run(task, Status.FAILED, error="no", args="[1]")
    key, now = f"failing:{task.pk}", database_now()
    incident = Incident.objects.create(
        kind="failing",
        key=key,
        open_key=key,
        task_id=task.pk,
        subject=task.name,
        opened_at=now,
        last_seen_at=now,
        first_run=failed,
        last_run=failed,
        muted_until=now + timedelta(days=1),
    )
    queued = make_run(busy, Status.QUEUED)
    missed = make_run(task, Status.MISSED, celery_id=None, scheduled_for=now)
    log_change(task)
    window = MaintenanceWindow.objects.create(
        starts_at=now, ends_at=now + timedelta(days=1), covers_all=True, by="anna"
    )
    paused = MaintenanceWindow.objects.create(starts_at=now, by="bert")
    MaintenanceTask.objects.create(window=paused, task_id=task.pk)
    made = {TASK: task, ENDED: failed, OPEN: queued, INCIDENT: incident, WINDOW: window}
    return {NO_ONE: None, MISSED: missed, **made}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages go nowhere; what is stored before they leave counts."""
    monkeypatch.setattr(publishing, "send", lambda *args: None)
    monkeypatch.setattr(publishing, "revoke", lambda *args: None)


def wing() -> Iterator[str]:
    """The name of each address of the admin wing, as the URL resolver has them."""
    for model in (ScheduledTask, TaskRun, Incident, MaintenanceWindow):
        for pattern in admin.site.get_model_admin(model).get_urls():
            name = pattern.name or f"scheduled_tasks_{model._meta.model_name}"
            yield name.removeprefix("scheduled_tasks_")


def address(name: str, rows: Rows) -> str:
    whose = rows[ADDRESSES[name][0]]
    if name in ("scheduledtask", "taskrun", "incident", "maintenancewindow"):
        return f"{reverse(f'admin:scheduled_tasks_{name}_changelist')}{whose.pk}/"
    return reverse(f"admin:scheduled_tasks_{name}", args=[whose.pk] if whose else [])


def everything_stored() -> list[object]:
    models: list[type[Model]] = [
        PeriodicTask,
        CrontabSchedule,
        TaskState,
        TaskRun,
        Incident,
        MaintenanceWindow,
        LogEntry,
    ]
    return [list(model._default_manager.order_by("pk").values_list()) for model in models]


def check(response: Any, who: str, ask: Ask, *, changed: bool) -> None:
    rights, name = PEOPLE[who], response.request["PATH_INFO"]
    if rights is None:
        assert response.status_code == 302, name
        assert urlsplit(response["Location"]).path == "/admin/login/"
    elif ask.needs is None:
        assert response.status_code in ((405,) if VIEW in rights else (403, 405)), name
    elif ask.needs in rights:
        assert response.status_code in (200, 302, 303), name
    elif ask.data.get("action") and VIEW in rights:
        assert response.status_code in (200, 302)  # the list again: Django knows no such action for them
    else:
        assert response.status_code == 403, name
        assert b"You do not have permission" in response.content
    assert changed == (ask.changes and ask.needs in (rights or ())), name


def test_every_address_has_an_expectation() -> None:
    assert set(wing()) == set(ADDRESSES)


@pytest.mark.parametrize("way", WAYS)
def test_get(client: Client, who: str, rows: Rows, way: str) -> None:
    before = everything_stored()
    for name, (_whose, ask, _posts) in ADDRESSES.items():
        response = client.get(address(name, rows), ask.data, headers=WAYS[way])
        check(response, who, ask, changed=everything_stored() != before)
        if PEOPLE[who] is not None and ask.needs in PEOPLE[who] and ask.needs != STAFF:
            assert response.status_code == 200, name


@pytest.mark.parametrize("way", WAYS)
def test_post(client: Client, who: str, rows: Rows, way: str) -> None:
    for name, (_whose, _get, posts) in ADDRESSES.items():
        for ask in posts:
            data = filled(ask, rows)
            with transaction.atomic():
                before = everything_stored()
                response = client.post(address(name, rows), data, headers=WAYS[way])
                check(response, who, ask, changed=everything_stored() != before)
                transaction.set_rollback(True)


@pytest.mark.parametrize("name", ADDRESSES)
def test_other_methods_change_nothing(admin_client: Client, rows: Rows, name: str) -> None:
    before = everything_stored()
    for method in (admin_client.put, admin_client.patch, admin_client.delete, admin_client.options):
        assert method(address(name, rows)).status_code < 500
    assert everything_stored() == before


class Offers(HTMLParser):
    """What a page offers to do: ``(method, address)``, and its bulk actions."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[tuple[str, str]] = set()
        self.actions: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in values:
            self.found.add(("GET", values["href"]))
        if "formaction" in values or (tag == "form" and values.get("method", "").lower() == "post"):
            self.found.add(("POST", values.get("formaction") or values.get("action", "")))
        if values.get("name") == "action" and tag in ("button", "input"):
            self.actions.add(values.get("value", ""))


def needed(method: str, url: str) -> str | None:
    """What following an offer needs; None for what is not an address of the wing."""
    try:
        name = resolve(urlsplit(url).path).url_name or ""
    except Resolver404:
        return None
    if not name.startswith("scheduled_tasks_"):
        return None
    _whose, get, posts = ADDRESSES[name.removeprefix("scheduled_tasks_")]
    if name.endswith("_changelist") and method == "POST":
        return get.needs  # the bulk form; its buttons are checked by name
    return get.needs if method == "GET" else posts[0].needs


PAGES = [
    "scheduledtask_changelist",
    "scheduledtask_change",
    "scheduledtask_schedule",
    "scheduledtask_add",
    "scheduledtask_delete",
    "scheduledtask_alerts",
    "scheduledtask_arguments",
    "scheduledtask_pause",
    "scheduledtask_new_run",
    "scheduledtask_timeline",
    "scheduledtask_words",
    "taskrun_changelist",
    "taskrun_change",
    "taskrun_retry_failed",
    "taskrun_later",
    "incident_changelist",
    "incident_change",
    "scheduledtask_until",
    "maintenancewindow_changelist",
    "maintenancewindow_change",
    "maintenancewindow_add",
]
BULK = {
    "run_selected": RUN,
    "enable_selected": CHANGE,
    "disable_selected": CHANGE,
    "pause_selected": CHANGE,
    "delete_selected": DELETE,
}


@pytest.mark.parametrize("way", WAYS)
def test_pages_offer_what_their_reader_may_do(client: Client, who: str, rows: Rows, way: str) -> None:
    rights = PEOPLE[who] or set()
    for name in (name for name in PAGES if ADDRESSES[name][1].needs in rights):
        here = address(name, rows)
        offers = Offers(client.get(here, {"run": rows[ENDED].pk}, headers=WAYS[way]).content.decode())
        wanted = {needed(method, urljoin(here, url)) for method, url in offers.found}
        assert wanted - {None, STAFF} <= rights, name
        assert all(BULK.get(action, NOBODY) in rights for action in offers.actions)


def test_list_offers_everything_its_reader_may_do(client: Client, who: str, rows: Rows) -> None:
    rights = PEOPLE[who] or set()
    if VIEW not in rights:
        return
    here = address("scheduledtask_changelist", rows)
    offers = Offers(client.get(here).content.decode())
    wanted = {needed(method, urljoin(here, url)) for method, url in offers.found}
    assert wanted & {VIEW, CHANGE, RUN, ADD, ONCE, DELETE, INCIDENTS} == rights - {STAFF}
    assert offers.actions == {action for action, needs in BULK.items() if needs in rights}


def test_every_link_can_be_followed_by_who_sees_it(client: Client, who: str, rows: Rows) -> None:
    urls: dict[tuple[str, ...], str] = {}
    for name in [*PAGES, "scheduledtask_history", "incident_history", "maintenancewindow_history"]:
        if ADDRESSES[name][1].needs in (PEOPLE[who] or ()):
            here = address(name, rows)
            links = Offers(client.get(here).content.decode()).found
            for url in (urljoin(here, url.partition("#")[0]) for method, url in links if method == "GET"):
                parts = urlsplit(url)
                urls[parts.path, *parse_qs(parts.query)] = url  # of the days of a calendar, one
    assert bool(urls) == (INCIDENTS in (PEOPLE[who] or ()))
    for url in set(urls.values()) - {"/admin/logout/", "/"}:
        assert client.get(url).status_code in (200, 302), url


@pytest.mark.parametrize("path", ["/admin/", "/admin/scheduled_tasks/"])
def test_index_and_sidebar_name_the_pages_to_those_who_may_see_them(
    client: Client, who: str, path: str
) -> None:
    shown = b"Scheduled tasks" in client.get(path).content
    assert shown == (INCIDENTS in (PEOPLE[who] or set()))


def test_recent_actions_tell_nothing_to_others(admin_user: User, rows: Rows) -> None:
    admin_client = Client()
    admin_client.force_login(admin_user)
    admin_client.post(address("scheduledtask_enabled", rows), {"enabled": "0", "note": "hush"})
    stranger = Client()
    stranger.force_login(User.objects.create_user("nobody", is_staff=True))
    assert b"hush" not in stranger.get("/admin/").content


def test_short_route_leads_to_the_list(client: Client, who: str) -> None:
    response = client.get("/admin/scheduled-tasks/?q=x")
    assert response["Location"] == "/admin/scheduled_tasks/scheduledtask/?q=x"
