"""What a stranger's text, address or form cannot do through the admin wing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.test import Client

from scheduled_tasks import operations
from scheduled_tasks.models import (
    CodeDefault,
    Incident,
    MaintenanceTask,
    MaintenanceWindow,
    Overlap,
    ScheduledTask,
    Source,
    Status,
    TaskRun,
    TaskState,
    database_now,
)
from scheduled_tasks.operations import Actor, publishing
from tests.admin.addresses import ADDRESSES, MISSED, Rows, filled, log_change
from tests.admin.test_matrix import address, everything_stored
from tests.alerts.rows import make_notice
from tests.factories import make_process, make_run, make_task

pytestmark = pytest.mark.django_db

LIST = "/admin/scheduled_tasks/scheduledtask/"
RUNS = "/admin/scheduled_tasks/taskrun/"
WINDOWS = "/admin/scheduled_tasks/maintenancewindow/"
WAYS = {"plain": {}, "script": {"ST-Request": "1"}}
EVIL = "</title></textarea></script>\"'><img src=x onerror=pwned=1><script>pwned=1</script>{{ 7|add:7 }}"
ODD = [
    "\x00",
    "a\x00b",
    "\x07\x1b[31m",
    "\u202e\ufeff",
    "\ud7ff",
    "%",
    "'\"--",
    "{{ x }}",
    "½",
    "-1",
    "9" * 30,
    "9" * 5000,  # more digits than int() takes
]


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "send", lambda *args: None)
    monkeypatch.setattr(publishing, "revoke", lambda *args: None)


@pytest.fixture
def rows() -> Rows:
    """The rows of the permission matrix, with a stranger's text wherever text is kept."""
    return hostile_rows()


def hostile_rows() -> Rows:
    """A task, a failed run and an open one, with ``EVIL`` in all that people, code and workers say."""
    data = json.dumps({EVIL: EVIL, "list": [EVIL]})
    args = json.dumps([EVIL])
    task = make_task(EVIL, task=f"tests.{EVIL}", description=EVIL, args=args, kwargs=data, queue=EVIL[:60])
    TaskState.objects.update_or_create(
        task_id=task.pk, defaults={"overlap": Overlap.ALLOW, "runs_as_before": True}
    )
    log_change(task)
    declared = {"schedule": "0 5 * * *", "description": f"declared {EVIL}"}
    CodeDefault.objects.create(task_id=task.pk, name=EVIL, source=Source.DECORATOR, declared=declared)
    texts = {"name": EVIL, "actor": EVIL, "worker": EVIL, "queue": EVIL, "args": args, "kwargs": data}
    failed = make_run(
        task, Status.FAILED, ago=90, error_type=EVIL[:100], error=EVIL, traceback=EVIL, log=EVIL, **texts
    )
    make_run(task, ago=80, summary=data, **texts)
    make_run(task, ago=70, summary=json.dumps(EVIL), **texts)
    make_run(task, Status.MISSED, reason="not_sent", reason_params=json.dumps({"error": EVIL}), **texts)
    make_process(task_names=["x", "tests.add"], node=EVIL, queues=[EVIL])
    progress = json.dumps({"done": 1, "total": 2, "text": EVIL})
    running = make_run(task, Status.RUNNING, progress=progress, trigger="manual", **texts)
    paused = make_task(f"paused {EVIL}", description=EVIL)
    actor = Actor(name=EVIL, log=lambda task, text: None)
    operations.disable(paused.pk, actor=actor, note=EVIL)
    missed = make_run(
        task, Status.MISSED, celery_id=None, scheduled_for=database_now(), actor="", reason=EVIL[:32]
    )
    found = {
        "": None,
        "task": task,
        "ended run": failed,
        "open run": running,
        "paused": paused,
        MISSED: missed,
    }
    window = MaintenanceWindow.objects.create(
        starts_at=database_now(),
        ends_at=database_now() + timedelta(days=1),
        note=EVIL,
        by=EVIL[:150],
        changed_by=EVIL[:150],
    )
    for each in (task, paused):
        MaintenanceTask.objects.create(window=window, task_id=each.pk)
    own = MaintenanceWindow.objects.create(starts_at=database_now())
    MaintenanceTask.objects.create(window=own, task_id=task.pk)
    return {**found, "incident": hostile_incident(task, failed), "window": window}


def hostile_incident(task: Any, run: TaskRun) -> Incident:
    """An open incident that is acknowledged and muted, with a message that failed."""
    now, key = database_now(), f"failing:{task.pk}"
    incident = Incident.objects.create(
        kind="failing", key=key, open_key=key, task_id=task.pk, subject=EVIL, owner=EVIL[:100],
        opened_at=now, last_seen_at=now, run_count=1, first_run=run, last_run=run, note=EVIL,
        acknowledged_by=EVIL[:150], acknowledged_at=now, muted_by=EVIL[:150], muted_for_good=True,
    )  # fmt: skip
    make_notice("mailto:ops@example.com", incident, label=EVIL[:255], error=EVIL, attempts=1)
    return incident


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_harmless(html: str) -> None:
    """No element or handler of ours came from the text, and no template was made of it."""
    assert "<img src=x" not in html
    assert "<script>pwned" not in html
    for tag, attributes in Elements(html).found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert tag != "script" or attributes.get("src") or attributes.get("type") == "application/json"
        assert not (attributes.get("href") or "").lower().startswith("javascript:")
    assert "14" not in html.partition("{{ 7|add")[0][-5:]


def pages(rows: Rows) -> Iterator[str]:
    for name, (_whose, get, _posts) in ADDRESSES.items():
        if get.needs in ("view", "change", "run", "add", "delete", "run and add"):
            yield address(name, rows)
    yield f"{LIST}{rows['task'].pk}/change/?" + urlencode({"run": rows["ended run"].pk})
    for run in TaskRun.objects.all():
        yield f"{RUNS}{run.pk}/change/"
    for path in ("schedule/", "schedule/preview/"):
        yield f"{LIST}{rows['task'].pk}/{path}?" + urlencode({"cron": EVIL, "zone": EVIL})
    yield f"{LIST}?" + urlencode({"q": EVIL, "state": EVIL, "o": EVIL})
    yield f"{RUNS}?" + urlencode({"q": EVIL, "status": EVIL})


@pytest.mark.parametrize("way", WAYS)
def test_no_text_becomes_markup_on_any_page(admin_client: Client, rows: Rows, way: str) -> None:
    said = 0
    for url in pages(rows):
        response = admin_client.get(url, headers=WAYS[way])
        assert response.status_code in (200, 302), url
        html = "" if response.streaming else response.content.decode()
        assert_harmless(html)
        said += html.count("&lt;img src=x onerror")
    assert said > 30, "the text is not even shown"


@pytest.mark.parametrize("way", WAYS)
def test_no_text_becomes_markup_in_answers_toasts_and_changes(
    admin_client: Client, rows: Rows, way: str
) -> None:
    task, run = rows["task"], rows["ended run"]
    asked = [
        (f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": EVIL}),
        (f"{LIST}{task.pk}/enabled/", {"enabled": "1"}),
        (f"{LIST}{task.pk}/schedule/", {"cron": EVIL, "zone": EVIL, "seen": EVIL}),
        (f"{LIST}{task.pk}/schedule/", {"cron": "* * * * *", "zone": EVIL}),
        (f"{LIST}{task.pk}/schedule/", {"cron": "* * * * *", "zone": "UTC", "seen": EVIL}),
        (f"{LIST}{task.pk}/until/", {"until": EVIL, "note": EVIL}),
        (f"{LIST}{task.pk}/until/", {"span": "hour", "note": EVIL[:400]}),
        (f"{LIST}add/", {"task": EVIL, "name": EVIL, "args": EVIL, "kwargs": EVIL, "cron": EVIL}),
        (f"{LIST}add/", {"fill": EVIL, "queue": EVIL, "expires": EVIL, "overlap": EVIL, "misfire": EVIL}),
        (f"{WINDOWS}add/", {"starts": EVIL, "note": EVIL, "scope": EVIL}),
        (f"{WINDOWS}add/", {"scope": "filter", "q": EVIL, "owner": EVIL, "queue": EVIL, "app": EVIL}),
        (f"{WINDOWS}add/", {"note": EVIL, "save": "1"}),
        (f"{WINDOWS}{rows['window'].pk}/extend/", {"until": EVIL}),
        (f"{LIST}{task.pk}/skip/", {"skip": "1"}),
        (f"{LIST}{task.pk}/default/", {}),
        (f"{LIST}{task.pk}/runs/", {"run": EVIL}),
        (f"{LIST}{task.pk}/runs/", {"args": EVIL, "kwargs": EVIL}),
        (f"{RUNS}{run.pk}/retry/", {"run": EVIL}),
        (f"{RUNS}{rows['open run'].pk}/cancel/", {}),
        (f"{RUNS}{rows[MISSED].pk}/later/", {}),
        (LIST, {"action": EVIL, "_selected_action": task.pk, "index": "0"}),
        (LIST, {"action": "run_selected", "_selected_action": task.pk, "index": "0"}),
    ]
    for url, data in asked:
        response = admin_client.post(url, {**data, "next": LIST}, headers=WAYS[way], follow=True)
        assert response.status_code in (200, 409, 422), (url, data)
        assert_harmless(response.content.decode())
    for url in (f"{LIST}{task.pk}/history/", "/admin/"):
        html = admin_client.get(url).content.decode()
        assert "&lt;img src=x onerror" in html
        assert_harmless(html)


@pytest.mark.parametrize("way", WAYS)
def test_refusal_is_a_page_of_the_admin(client: Client, way: str) -> None:
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    response = client.get(LIST, headers=WAYS[way])
    assert response.status_code == 403
    for text in (b'id="header"', b"You do not have permission", b"nobody"):
        assert text in response.content


def test_refused_person_with_an_odd_name(rows: Rows) -> None:
    client = Client()
    client.force_login(User.objects.create_user(EVIL[:150], is_staff=True))
    response = client.get(LIST)
    assert response.status_code == 403
    assert_harmless(response.content.decode())


POSTS = [(name, ask) for name, (_whose, _get, posts) in ADDRESSES.items() for ask in posts if ask.changes]


@pytest.mark.parametrize(
    ("name", "ask"), POSTS, ids=[f"{name} {ask.data.get('action', '')}".strip() for name, ask in POSTS]
)
def test_every_change_needs_the_csrf_token(admin_user: User, rows: Rows, name: str, ask: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    data = filled(ask, rows)
    url = address(name, rows)
    before = everything_stored()
    for headers in WAYS.values():
        assert client.post(url, data, headers=headers).status_code == 403
        assert client.post(url, {**data, "csrfmiddlewaretoken": "x" * 64}, headers=headers).status_code == 403
    assert everything_stored() == before
    form = Elements(client.get(LIST).content.decode()).found
    token = next(values["value"] for _tag, values in form if values.get("name") == "csrfmiddlewaretoken")
    assert client.post(url, {**data, "csrfmiddlewaretoken": token}).status_code in (302, 303)
    assert everything_stored() != before


TARGETS = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "http:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    " //evil.example",
    "\x00//evil.example",
    "/\r\nSet-Cookie: a=b",
    "\u2028//evil.example",
]


FORMS = [(name, ask) for name, ask in POSTS if "action" not in ask.data]


@pytest.mark.parametrize("target", TARGETS)
def test_forms_lead_back_to_this_site_only(admin_client: Client, rows: Rows, target: str) -> None:
    for name, ask in FORMS:
        data = {**filled(ask, rows), "next": target}
        response = admin_client.post(address(name, rows), data, headers={"Referer": "https://evil.example/"})
        assert response.status_code == 303
        assert urlsplit(response["Location"]).netloc == "", name
        assert response["Location"].startswith("/"), name
        assert not set("\r\n\\") & set(response["Location"])


@pytest.mark.parametrize("path", ["//evil.example", "?next=//evil.example", "?//evil.example"])
def test_short_route_leads_to_this_site_only(admin_client: Client, path: str) -> None:
    response = admin_client.get(f"/admin/scheduled-tasks/{path}")
    assert response.status_code in (301, 302, 404)
    if response.status_code != 404:
        assert response["Location"].startswith("/admin/")


ADDRESSED: dict[str, list[str]] = {
    LIST: ["q", "state", "o", "p", "all", "e", "unknown"],
    f"{LIST}rows/": ["q", "state", "p"],
    f"{LIST}timeline/": ["q", "state", "p", "window", "sort", "day", "start", "stop", "unknown"],
    f"{LIST}%(task)s/change/": ["status", "period", "page", "run"],
    f"{LIST}%(task)s/schedule/": ["cron", "zone", "shown"],
    f"{LIST}add/": ["source", "unknown"],
    f"{LIST}add/preview/": ["cron", "zone", "shown"],
    f"{LIST}%(task)s/schedule/preview/": ["cron", "zone", "shown"],
    RUNS: [
        *("q", "status", "status__exact", "trigger", "trigger__exact", "o", "p", "before", "after", "task"),
        *("from", "to", "only", "error", "run"),
    ],
    f"{RUNS}retry/": ["status", "from", "to", "error", "task"],
}


@pytest.mark.parametrize(
    "value", [*ODD, "x" * 200_000], ids=[*(ascii(odd[:30]) for odd in ODD[:-1]), "5000 digits", "huge"]
)
@pytest.mark.parametrize("path", ADDRESSED)
def test_odd_addresses_are_answered(admin_client: Client, path: str, value: str) -> None:
    url = path % {"task": make_task().pk}
    for name in ADDRESSED[path]:
        response = admin_client.get(url, {name: value}, headers=WAYS["script"])
        assert response.status_code in (200, 302, 400, 404), (name, value[:20])
        assert response.headers.get("Location", "/admin/").startswith(("/admin/", "?"))


@pytest.mark.parametrize("name", [name for name, (whose, *_asks) in ADDRESSES.items() if whose])
def test_odd_ids_are_not_found(admin_client: Client, rows: Rows, name: str) -> None:
    whose = str(rows[ADDRESSES[name][0]].pk)
    url = address(name, rows)
    for odd in [*ODD, "0", "x", "1e3", "9" * 4000]:
        path = url.replace(f"/{whose}/", f"/{quote(odd, safe='')}/")
        for method in (admin_client.get, admin_client.post):
            response = method(path)
            assert response.status_code in (301, 302, 303, 403, 404, 405), (odd, response.status_code)


def forms() -> dict[str, tuple[str, dict[str, str]]]:
    return {
        "note": (f"{LIST}%(task)s/enabled/", {"enabled": "0", "note": "%(value)s"}),
        "enabled": (f"{LIST}%(task)s/enabled/", {"enabled": "%(value)s"}),
        "cron": (f"{LIST}%(task)s/schedule/", {"cron": "%(value)s", "zone": "UTC"}),
        "zone": (f"{LIST}%(task)s/schedule/", {"cron": "* * * * *", "zone": "%(value)s"}),
        "seen": (f"{LIST}%(task)s/schedule/", {"cron": "* * * * *", "zone": "UTC", "seen": "%(value)s"}),
        "shown": (f"{LIST}%(task)s/schedule/", {"cron": "hourly", "zone": "UTC", "shown": "%(value)s"}),
        "run": (f"{LIST}%(task)s/runs/", {"run": "%(value)s"}),
        "args": (f"{LIST}%(task)s/runs/", {"args": "%(value)s"}),
        "args in JSON": (f"{LIST}%(task)s/runs/", {"args": "[%(json)s]", "kwargs": '{"a": %(json)s}'}),
        "kwargs": (f"{LIST}%(task)s/runs/", {"kwargs": "%(value)s"}),
        "skip": (f"{LIST}%(task)s/skip/", {"skip": "%(value)s"}),
        "retry": (f"{RUNS}%(ended)s/retry/", {"run": "%(value)s"}),
        "selected": (LIST, {"action": "disable_selected", "_selected_action": "%(value)s", "index": "0"}),
        "action": (LIST, {"action": "%(value)s", "_selected_action": "%(task)s", "index": "0"}),
        "index": (LIST, {"action": "disable_selected", "_selected_action": "%(task)s", "index": "%(value)s"}),
    }


@pytest.mark.parametrize("name", forms())
def test_odd_forms_are_answered(admin_client: Client, name: str) -> None:
    task = make_task()
    run = make_run(task, Status.FAILED)
    path, data = forms()[name]
    for value in [*ODD, "x" * 500_000]:
        given = {"task": task.pk, "ended": run.pk, "value": value, "json": json.dumps(value)}
        sent = {key: text % given for key, text in data.items()}
        for headers in WAYS.values():
            response = admin_client.post(path % given, sent, headers=headers)
            assert response.status_code in (200, 302, 303, 400, 409, 422), (name, value[:20])
    for url in (LIST, f"{LIST}{task.pk}/change/", f"{LIST}{task.pk}/history/"):
        assert admin_client.get(url).status_code == 200


def test_too_large_a_form_is_refused(admin_client: Client) -> None:
    task = make_task()
    response = admin_client.post(f"{LIST}{task.pk}/enabled/", {"enabled": "0", "note": "x" * 3_000_000})
    assert response.status_code == 400
    task.refresh_from_db()
    assert task.enabled


SECRET = "hunter2-" + "x" * 8


def secretive(client: Client, look: Callable[[str], None]) -> None:
    """Read every page of a task that knows a secret, as plain page and as fragment."""
    kwargs = json.dumps({"api_token": SECRET, "nested": {"password": SECRET}, "name": "shown"})
    task = make_task(kwargs=kwargs, headers=json.dumps({"authorization": SECRET}))
    task_run = operations.run_now(task.pk, actor=Actor("anna", lambda task, text: None), celery_id="a")
    window = MaintenanceWindow.objects.create(starts_at=database_now(), covers_all=True)
    runs = {"ended run": task_run, "open run": task_run, MISSED: task_run}
    rows = {"": None, "task": task, "window": window, **runs}
    for name, (_whose, get, _posts) in ADDRESSES.items():
        if get.needs in ("view", "change", "run", "add", "delete", "run and add"):
            for headers in WAYS.values():
                response = client.get(address(name, rows), {"run": task_run.pk}, headers=headers)
                look(response.getvalue().decode())


def test_secrets_in_arguments_are_masked_everywhere(admin_client: Client) -> None:
    seen: list[str] = []
    secretive(admin_client, seen.append)
    assert not [html for html in seen if SECRET in html]
    assert any("shown" in html for html in seen)


def test_masked_arguments_still_reach_the_task(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(publishing, "send", lambda task, run, message: sent.append(message))
    task = make_task(kwargs=json.dumps({"api_token": SECRET, "n": 1}))
    html = admin_client.get(f"{LIST}{task.pk}/runs/new/").content.decode()
    kwargs = {"api_token": "••••••", "n": 2}
    assert "••••••" in html
    admin_client.post(f"{LIST}{task.pk}/runs/", {"args": "[]", "kwargs": json.dumps(kwargs)})
    assert sent[0].kwargs == {"api_token": SECRET, "n": 2}
    assert SECRET not in TaskRun.objects.get().kwargs


def test_pages_do_not_name_the_sites_secrets(
    admin_client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the real way to the broker, which is not there
    monkeypatch.setattr(current_app.conf, "broker_write_url", f"redis://user:{SECRET}@127.0.0.1:9/0")
    monkeypatch.setattr(current_app.conf, "broker_url", f"redis://user:{SECRET}@127.0.0.1:9/0")
    task = make_task()
    for headers in WAYS.values():
        response = admin_client.post(f"{LIST}{task.pk}/runs/", headers=headers, follow=True)
        assert "broker" in response.content.decode()
        assert SECRET not in response.content.decode()
        for url in (LIST, f"{LIST}{task.pk}/change/", f"{RUNS}{TaskRun.objects.latest('pk').pk}/change/"):
            html = admin_client.get(url, headers=headers).content.decode()
            assert SECRET not in html
            assert settings.SECRET_KEY not in html
    assert ScheduledTask.objects.count() == 1
