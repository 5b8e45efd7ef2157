"""Every address of the admin wing, every kind of person, every way of asking: exactly what may happen.

The addresses come from the URL resolver, so that a new one without an expectation here fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import Resolver404, resolve, reverse
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from scheduled_tasks.models import CodeDefault, ScheduledTask, Source, Status, TaskRun, TaskState
from scheduled_tasks.operations import publishing
from tests.factories import make_run, make_task

pytestmark = pytest.mark.django_db

VIEW, CHANGE, RUN, NOBODY, STAFF = "view", "change", "run", "nobody", "staff"
WAYS = {"plain": {}, "script": {"ST-Request": "1"}}


@dataclass(frozen=True)
class Ask:
    """A request: what it needs, what it sends, and whether it changes anything when allowed."""

    needs: str | None
    data: dict[str, Any] = field(default_factory=dict)
    changes: bool = False


METHOD_NOT_ALLOWED = Ask(None)
READ = Ask(VIEW)
NEVER = Ask(NOBODY)
SCHEDULE = {"cron": "0 4 * * *", "zone": "UTC"}
ALL = {"index": "0", "select_across": "1", "_selected_action": "1"}
NO_ONE, TASK, ENDED, OPEN = "", "task", "ended run", "open run"
Rows = dict[str, Any]

ADDRESSES: dict[str, tuple[str, Ask, list[Ask]]] = {
    # address: (whose, what GET is, what POST is)
    "scheduledtask_changelist": (
        NO_ONE,
        READ,
        [
            Ask(VIEW, {**ALL, "action": ""}),
            Ask(CHANGE, {**ALL, "action": "disable_selected"}, changes=True),
            Ask(CHANGE, {**ALL, "action": "enable_selected"}, changes=True),
            Ask(RUN, {**ALL, "action": "run_selected"}, changes=True),
            Ask(NOBODY, {**ALL, "action": "delete_selected", "post": "yes"}),
        ],
    ),
    "scheduledtask_rows": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "scheduledtask_timeline": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "scheduledtask_change": (TASK, READ, [Ask(VIEW, {"name": "x", "enabled": ""})]),
    "scheduledtask_history": (TASK, READ, [READ]),
    "scheduledtask_schedule": (TASK, Ask(CHANGE), [Ask(CHANGE, SCHEDULE, changes=True)]),
    "scheduledtask_preview": (TASK, Ask(CHANGE, SCHEDULE), [METHOD_NOT_ALLOWED]),
    "scheduledtask_alerts": (TASK, Ask(CHANGE), [Ask(CHANGE, {"owner": "billing"}, changes=True)]),
    "scheduledtask_enabled": (
        TASK,
        METHOD_NOT_ALLOWED,
        [Ask(CHANGE, {"enabled": "0", "note": "why"}, changes=True)],
    ),
    "scheduledtask_pause": (TASK, Ask(CHANGE), [METHOD_NOT_ALLOWED]),
    "scheduledtask_skip": (TASK, METHOD_NOT_ALLOWED, [Ask(CHANGE, {"skip": "1"}, changes=True)]),
    "scheduledtask_default": (TASK, METHOD_NOT_ALLOWED, [Ask(CHANGE, changes=True)]),
    "scheduledtask_runs": (TASK, METHOD_NOT_ALLOWED, [Ask(RUN, {"run": str(uuid4())}, changes=True)]),
    "scheduledtask_new_run": (TASK, Ask(RUN), [METHOD_NOT_ALLOWED]),
    "scheduledtask_add": (NO_ONE, NEVER, [Ask(NOBODY, {"name": "new"})]),
    "scheduledtask_delete": (TASK, NEVER, [Ask(NOBODY, {"post": "yes"})]),
    "scheduledtask": (TASK, Ask(STAFF), [Ask(STAFF)]),
    "taskrun_changelist": (NO_ONE, READ, [Ask(NOBODY, {**ALL, "action": "delete_selected", "post": "yes"})]),
    "taskrun_export": (NO_ONE, READ, [METHOD_NOT_ALLOWED]),
    "taskrun_change": (ENDED, READ, [Ask(VIEW, {"name": "x", "status": "failed"})]),
    "taskrun_retry": (ENDED, METHOD_NOT_ALLOWED, [Ask(RUN, {"run": str(uuid4())}, changes=True)]),
    "taskrun_cancel": (OPEN, METHOD_NOT_ALLOWED, [Ask(RUN, changes=True)]),
    "taskrun_history": (ENDED, READ, [READ]),
    "taskrun_add": (NO_ONE, NEVER, [Ask(NOBODY, {"name": "new"})]),
    "taskrun_delete": (ENDED, NEVER, [Ask(NOBODY, {"post": "yes"})]),
    "taskrun": (ENDED, Ask(STAFF), [Ask(STAFF)]),
}
"""By URL name without ``scheduled_tasks_``; the admin's own nameless ``…/<id>/`` goes by its model's name."""

PEOPLE: dict[str, set[str] | None] = {
    "anonymous": None,
    "customer": None,
    "nobody": {STAFF},
    "viewer": {STAFF, VIEW},
    "editor": {STAFF, VIEW, CHANGE},
    "runner": {STAFF, VIEW, RUN},
    "blind runner": {STAFF},
    "root": {STAFF, VIEW, CHANGE, RUN},
    "root denied by policy": {STAFF},
    "root who may only view": {STAFF, VIEW},
    "nobody allowed by policy": {STAFF, VIEW, CHANGE, RUN},
}
"""What each may do; None never gets past the login page."""

PERMISSIONS = {
    "viewer": ["view"],
    "editor": ["view", "change"],
    "runner": ["view", "run"],
    "blind runner": ["run"],
}

POLICIES = {
    "root denied by policy": "deny",
    "root who may only view": "only_view",
    "nobody allowed by policy": "allow",
}


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
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": f"tests.admin.test_matrix.{policy}" if policy else ""}
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
    codenames = [f"{right}_scheduledtask" for right in PERMISSIONS.get(who, [])]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


@pytest.fixture
def rows() -> Rows:
    """A task that differs from its code with a run that failed, and a run under way."""
    task, busy = make_task(args="[1]"), make_task("busy")
    CodeDefault.objects.create(
        task_id=task.pk, name=task.name, source=Source.DECORATOR, declared={"description": "Deletes old rows"}
    )
    failed = make_run(task, Status.FAILED, error="no", args="[1]")
    return {NO_ONE: None, TASK: task, ENDED: failed, OPEN: make_run(busy, Status.QUEUED)}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages go nowhere; what is stored before they leave counts."""
    monkeypatch.setattr(publishing, "send", lambda *args: None)
    monkeypatch.setattr(publishing, "revoke", lambda *args: None)


def wing() -> Iterator[str]:
    """The name of each address of the admin wing, as the URL resolver has them."""
    for model in (ScheduledTask, TaskRun):
        for pattern in admin.site.get_model_admin(model).get_urls():
            name = pattern.name or f"scheduled_tasks_{model._meta.model_name}"
            yield name.removeprefix("scheduled_tasks_")


def address(name: str, rows: Rows) -> str:
    whose = rows[ADDRESSES[name][0]]
    if name in ("scheduledtask", "taskrun"):
        return f"{reverse(f'admin:scheduled_tasks_{name}_changelist')}{whose.pk}/"
    return reverse(f"admin:scheduled_tasks_{name}", args=[whose.pk] if whose else [])


def everything_stored() -> list[object]:
    models: list[type[Model]] = [PeriodicTask, CrontabSchedule, TaskState, TaskRun, LogEntry]
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
            data = {**ask.data, "_selected_action": rows[TASK].pk} if "action" in ask.data else ask.data
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
        return VIEW  # the bulk form; its buttons are checked by name
    return get.needs if method == "GET" else posts[0].needs


PAGES = [
    "scheduledtask_changelist",
    "scheduledtask_change",
    "scheduledtask_schedule",
    "scheduledtask_alerts",
    "scheduledtask_pause",
    "scheduledtask_new_run",
    "scheduledtask_timeline",
    "taskrun_changelist",
    "taskrun_change",
]
BULK = {"run_selected": RUN, "enable_selected": CHANGE, "disable_selected": CHANGE}


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
    assert wanted & {VIEW, CHANGE, RUN} == rights - {STAFF}
    assert offers.actions == {action for action, needs in BULK.items() if needs in rights}


def test_every_link_can_be_followed_by_who_sees_it(client: Client, who: str, rows: Rows) -> None:
    urls: set[str] = set()
    for name in [*PAGES, "scheduledtask_history"]:
        if ADDRESSES[name][1].needs in (PEOPLE[who] or ()):
            here = address(name, rows)
            links = Offers(client.get(here).content.decode()).found
            urls |= {urljoin(here, url.partition("#")[0]) for method, url in links if method == "GET"}
    assert bool(urls) == (VIEW in (PEOPLE[who] or ()))
    for url in urls - {"/admin/logout/", "/"}:
        assert client.get(url).status_code in (200, 302), url


@pytest.mark.parametrize("path", ["/admin/", "/admin/scheduled_tasks/"])
def test_index_and_sidebar_name_the_pages_to_those_who_may_see_them(
    client: Client, who: str, path: str
) -> None:
    shown = b"Scheduled tasks" in client.get(path).content
    assert shown == (VIEW in (PEOPLE[who] or set()))


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
