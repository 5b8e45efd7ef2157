"""The list of incidents and the story of each: what is shown to whom, and in how few statements."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from scheduled_tasks.models import Incident, NoticeState, Status, TaskState, database_now
from tests.alerts.rows import make_incident, make_notice
from tests.factories import make_run

pytestmark = pytest.mark.django_db

INCIDENTS = "/admin/scheduled_tasks/incident/"
TASKS = "/admin/scheduled_tasks/scheduledtask/"
OPS, SECRET = "mailto:ops@example.com", "ops@example.com"


@pytest.fixture(autouse=True)
def channel(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"ALERTS": {"default": [OPS]}}


def make_fault(kind: str = "queue", subject: str = "reports", *, ago: float = 60, **values: Any) -> Incident:
    now = database_now()
    fields = {"kind": kind, "key": f"{kind}:{subject}", "open_key": f"{kind}:{subject}", "subject": subject}
    times = {"opened_at": now - timedelta(seconds=ago), "last_seen_at": now}
    return Incident.objects.create(**{**fields, **times, **values})


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).strip()


def page(client: Client, path: str = "", **query: str) -> str:
    answer = client.get(INCIDENTS + path, query)
    assert answer.status_code == 200
    return answer.content.decode()


def listed(client: Client, **query: str) -> list[str]:
    return re.findall(r'<a href="\d+/change/">([^<]+)</a>', page(client, **query))


def viewer(*permissions: str) -> Client:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


# The list


def test_open_and_past_newest_first_with_filters_and_search(admin_client: Client) -> None:
    make_incident("first", closed_at=database_now(), closing="recovered")
    make_incident("second", owner="billing", kind="late")
    make_fault()
    late, failing, fault = "Late or missed: second", "Failing: first", "No worker for the queue reports"
    assert listed(admin_client) == [fault, late, failing]
    assert listed(admin_client, state="open") == [fault, late]
    assert listed(admin_client, state="past") == [failing]
    assert listed(admin_client, kind="queue") == [fault]
    assert listed(admin_client, owner="billing") == [late]
    assert listed(admin_client, owner="default") == [fault, failing]
    assert listed(admin_client, q=" RePort\0") == [fault]
    assert listed(admin_client, state="open", owner="billing", kind="queue") == []
    assert listed(admin_client, state="x", kind="x", owner="x", before="x", after="9" * 30) == [
        fault,
        late,
        failing,
    ]


def test_filters_keep_one_another(admin_client: Client) -> None:
    make_incident("second", owner="billing")
    make_fault()
    text = page(admin_client, state="open", owner="billing", q="a&b")
    assert 'href="?state=past&amp;owner=billing&amp;q=a%26b"' in text
    assert '<input type="hidden" name="owner" value="billing">' in text


def test_owners_are_no_filter_where_there_is_one(admin_client: Client) -> None:
    make_fault()
    assert "Any owner" not in page(admin_client)


def test_pages_are_not_shifted_by_new_incidents(admin_client: Client) -> None:
    for n in range(60):
        make_fault(subject=f"queue-{n:02}")
    first = page(admin_client)
    older = re.search(r'href="(\?before=\d+)">Older', first)
    assert older is not None
    make_fault(subject="new")
    rest = admin_client.get(INCIDENTS + older[1]).content.decode()
    assert re.findall(r"queue-(\d\d)</a>", rest) == [f"{n:02}" for n in range(9, -1, -1)]
    assert ">Newer<" in rest


def test_row_says_who_acknowledged_and_muted_and_who_was_told(admin_client: Client) -> None:
    now = database_now()
    incident = make_incident(
        acknowledged_by="anna", acknowledged_at=now, note="on <it>", muted_for_good=True, muted_by="bert"
    )
    text = text_of(page(admin_client))
    assert "Acknowledged by anna: on &lt;it&gt;" in text
    assert "Muted until resolved by bert" in text
    assert "It is muted." in text
    make_notice(OPS, incident, state=NoticeState.SENT)
    assert "1 channel" in text_of(page(admin_client))


def test_past_incident_of_which_nobody_was_told(admin_client: Client) -> None:
    make_incident(closed_at=database_now(), closing="paused", muted_for_good=True, muted_by="bert")
    text = text_of(page(admin_client))
    assert "Disabled" in text
    assert "It was muted." in text
    assert "Muted" not in text
    incident = Incident.objects.get()
    story = f"{incident.pk}/change/"
    assert "Nobody was told. It was muted." in text_of(page(admin_client, story))
    Incident.objects.update(muted_for_good=False, muted_until=incident.opened_at)
    assert "Nobody" in text_of(page(admin_client))
    assert "muted." not in text_of(page(admin_client, story))


def statements(client: Client, url: str) -> int:
    """Statements of a page, once what Django keeps for good has been read."""
    client.get(url)
    with CaptureQueriesContext(connection) as context:
        assert client.get(url).status_code == 200
    return len(context)


@pytest.mark.parametrize("number", [1, 100])
def test_list_takes_at_most_ten_statements(admin_client: Client, number: int) -> None:
    for n in range(number):
        incident = make_incident(f"task-{n}")
        if n % 2:
            make_notice(OPS, incident, attempts=1)
    assert statements(admin_client, INCIDENTS) <= 10


@pytest.mark.parametrize("number", [1, 50])
def test_list_of_tasks_takes_one_statement_more_for_any_number_of_incidents(
    admin_client: Client, number: int
) -> None:
    for n in range(number):
        make_incident(f"task-{n}")
    assert statements(admin_client, TASKS) <= 10


@pytest.mark.parametrize("notices", [1, 30])
def test_story_takes_at_most_twelve_statements(admin_client: Client, notices: int) -> None:
    incident = make_incident()
    for _ in range(notices):
        make_notice(OPS, incident)
    assert statements(admin_client, f"{INCIDENTS}{incident.pk}/change/") <= 12


# The story


def test_story_of_a_past_incident(admin_client: Client) -> None:
    now = database_now()
    incident = make_incident(closed_at=now, closing="recovered", owner="billing")
    last = make_run(incident.task, Status.TIMED_OUT, error_type="Slow", error="a\nsecond line")
    Incident.objects.update(last_run=last)
    TaskState.objects.create(task_id=incident.task_id, runbook="https://wiki.example.com/rates?a=1&b=2")
    make_notice(OPS, incident, state=NoticeState.SENT, sent_at=now, attempts=3)
    make_notice(OPS, incident, event="closed", state=NoticeState.GIVEN_UP, error="no <answer>", attempts=9)
    text = page(admin_client, f"{incident.pk}/change/")
    assert 'href="https://wiki.example.com/rates?a=1&amp;b=2"' in text
    for run in (incident.first_run, last):
        assert run is not None
        assert f"/taskrun/{run.pk}/change/" in text
    words = text_of(text)
    for said in (
        "Failing: exchange-rate-sync Recovered",
        "RatesUnavailable: the source does not answer",
        "Slow: a",
        f"Opened {SECRET} Sent 3 attempts",
        f"Recovered {SECRET} Given up 9 attempts no &lt;answer&gt;",
        "Owner billing",
    ):
        assert said in words, said
    assert "Acknowledge" not in words


@pytest.mark.parametrize(
    "runbook", ["javascript:alert(1)", "data:text/html,x", "//wiki", "wiki", "ftp://x/", "https://u:p@wiki/"]
)
def test_a_runbook_that_is_no_web_address_is_no_link(admin_client: Client, runbook: str) -> None:
    incident = make_incident()
    TaskState.objects.create(task_id=incident.task_id, runbook=runbook)
    assert f'href="{runbook}' not in page(admin_client, f"{incident.pk}/change/")


def test_story_says_why_nobody_was_told(admin_client: Client, settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"ALERTS": {}}
    path = f"{make_incident().pk}/change/"
    assert "Nobody was told. No channel is set up for it." in text_of(page(admin_client, path))
    settings.SCHEDULED_TASKS = {"ALERTS": {"default": [OPS]}}
    assert "Nobody was told" not in page(admin_client, path)


def test_story_outlives_its_task_and_its_runs(admin_client: Client) -> None:
    incident = make_incident(first_run_id=10**9, last_run_id=10**9 + 1)
    incident.task.delete()
    text = page(admin_client, f"{incident.pk}/change/")
    assert "Failing: exchange-rate-sync" in text
    assert f"{INCIDENTS}{incident.pk}/history/" in text


@pytest.mark.parametrize("pk", ["0", "x", "9" * 30, "12345"])
def test_an_incident_that_is_not_there_is_a_404(admin_client: Client, pk: str) -> None:
    assert admin_client.get(f"{INCIDENTS}{pk}/change/").status_code == 404


# Who sees what


@pytest.mark.parametrize("permission", ["view_scheduledtask", "view_incident"])
def test_who_may_only_view_sees_no_address_of_a_channel(permission: str) -> None:
    client, incident = viewer(permission), make_incident()
    make_notice(OPS, incident, attempts=1, error=f"{SECRET} was refused")
    for path in ("", f"{incident.pk}/change/"):
        text = page(client, path)
        assert SECRET not in text
        assert "Send test alert" not in text
        assert "Acknowledge</button>" not in re.sub(r"\s+", "", text)
    assert "a channel" in page(client, f"{incident.pk}/change/")


def test_the_incidents_permission_opens_neither_tasks_nor_runs() -> None:
    client, incident = viewer("view_incident"), make_incident()
    run = incident.first_run_id
    for path in ("", f"{incident.pk}/change/"):
        text = page(client, path)
        assert "/scheduledtask/" not in text
        assert "/taskrun/" not in text
    assert "the source does not answer" not in text
    assert client.get(TASKS).status_code == 403
    assert client.get(f"/admin/scheduled_tasks/taskrun/{run}/change/").status_code == 403


def test_a_policy_decides_alone(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"ACCESS_POLICY": "tests.admin.test_matrix.deny"}
    assert viewer("view_incident").get(INCIDENTS).status_code == 403


# The list of tasks and a task


def test_header_counts_open_incidents_of_the_machinery_too(admin_client: Client) -> None:
    assert f'href="{INCIDENTS}"' in admin_client.get(TASKS).content.decode()
    make_incident()
    make_fault()
    make_incident("past", closed_at=database_now())
    text = admin_client.get(TASKS).content.decode()
    assert f'href="{INCIDENTS}?state=open"' in text
    assert "Incidents 2 open" in text_of(text)
    assert "1 with an incident" in text_of(text)


def test_refresh_brings_the_mark_and_the_count(admin_client: Client) -> None:
    headers = {"ST-Request": "1"}
    first = admin_client.get(f"{TASKS}rows/", headers=headers)
    headers |= {"If-None-Match": first["ETag"]}
    assert admin_client.get(f"{TASKS}rows/", headers=headers).status_code == 304
    make_fault()
    text = admin_client.get(f"{TASKS}rows/", headers=headers).content.decode()
    assert "Incidents 1 open" in text_of(text)
    incident = make_incident()
    for change, said in (
        ({}, "Failing, open since"),
        ({"acknowledged_by": "anna", "acknowledged_at": database_now(), "note": "x"}, "by anna: x"),
        ({"muted_for_good": True, "muted_by": "bert"}, "Muted until resolved by bert"),
    ):
        shown = ".".join(
            ":".join(pair)
            for pair in re.findall(
                r'id="st-row-(\d+)" role="row" data-key="(\w+)"', admin_client.get(TASKS).content.decode()
            )
        )
        version = admin_client.get(f"{TASKS}rows/", headers={"ST-Request": "1", "ST-Rows": shown})["ETag"]
        sent = {"ST-Request": "1", "ST-Rows": shown, "If-None-Match": version}
        assert admin_client.get(f"{TASKS}rows/", headers=sent).status_code == 304
        if change:
            Incident.objects.filter(pk=incident.pk).update(**change)
            text = admin_client.get(f"{TASKS}rows/", headers=sent).content.decode()
        else:
            text = admin_client.get(TASKS).content.decode()
        assert said in text


def test_drawer_has_a_line_for_each_open_incident(admin_client: Client) -> None:
    hours_ago = database_now() - timedelta(hours=3)
    incident = make_incident(acknowledged_by="anna", acknowledged_at=hours_ago, note="on it")
    for place in ("", f"{incident.pk}/change/"):
        assert re.search(r"Acknowledged by anna: on it 3 (h|hours) ago", text_of(page(admin_client, place)))
    make_incident("other")
    at = f"{TASKS}{incident.task_id}/change/"
    for headers in ({}, {"ST-Request": "1"}):
        text = admin_client.get(at, headers=headers).content.decode()
        assert text.count('id="st-incident-line-') == 1
        assert "Acknowledged by anna: on it" in text_of(text)
        assert f'href="{INCIDENTS}{incident.pk}/change/"' in text
    version = admin_client.get(at, headers={"ST-Request": "1"})
    sent = {
        "ST-Request": "1",
        "If-None-Match": re.findall(r'data-version="([^"]+)"', version.content.decode())[0],
    }
    assert sent["If-None-Match"]
    Incident.objects.filter(pk=incident.pk).update(open_key=None, closed_at=database_now())
    assert 'id="st-incident-line-' not in admin_client.get(at, headers=sent).content.decode()
