"""What a message says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.translation import override

from scheduled_tasks.alerts.notification import LISTED, IncidentFacts, Notification, notification_of
from scheduled_tasks.models import Incident, ScheduledTask, Status, TaskRun, TaskState, database_now
from scheduled_tasks.reasons import Code
from tests.alerts.rows import make_incident, make_notice
from tests.factories import make_run, make_task

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
KEEP = "tests.alerts.called.keep"


def facts(kind: str, subject: str = "sync", **values) -> IncidentFacts:
    return IncidentFacts(id=7, kind=kind, subject=subject, opened_at=NOON, **values)


def told(event: str, *incidents: IncidentFacts, total: int = 1, count: int = 1) -> Notification:
    return Notification(event=event, owner="default", incidents=incidents, total=total, count=count)


@pytest.mark.parametrize(
    ("incident", "title"),
    [
        (facts("failing", run_count=1), "Failing: sync"),
        (
            facts("failing", run_count=3, error_type="RatesUnavailable", error="no answer"),
            "Failing: sync (3 failures in a row). RatesUnavailable: no answer",
        ),
        (
            facts("failing", run_count=1, error_type="proj.rates.errors.RatesUnavailable", error="no answer"),
            "Failing: sync. RatesUnavailable: no answer",
        ),
        (
            facts("failing", run_count=1, reason="The worker fell silent."),
            "Failing: sync. The worker fell silent.",
        ),
        (facts("late"), "Late or missed: sync"),
        (facts("late", run_count=2), "Late or missed: sync (2 runs did not start)"),
        (facts("slow", run_count=1), "Running far too long: sync"),
        (facts("beat", ""), "Beat is down"),
        (facts("queue", "billing"), "No worker for the queue billing"),
        (facts("queue", ""), "No worker is running"),
        (facts("broker", ""), "The broker is unreachable"),
        (facts("recorder", ""), "Runs are not recorded"),
        (facts("failing", "100 % %(x)s", run_count=2), "Failing: 100 % %(x)s (2 failures in a row)"),
    ],
)
def test_opened(incident, title):
    assert told("opened", incident).title == title


@pytest.mark.parametrize(
    ("kind", "subject", "title"),
    [
        ("failing", "sync", "Recovered: sync, after 14 min and 3 failed runs"),
        ("late", "sync", "Recovered: sync runs again, after 14 min"),
        ("slow", "sync", "Recovered: the long run of sync ended, after 14 min"),
        ("beat", "", "Recovered: beat is running again, after 14 min"),
        ("queue", "billing", "Recovered: the queue billing has a worker again, after 14 min"),
        ("queue", "", "Recovered: a worker is running again, after 14 min"),
        ("broker", "", "Recovered: the broker is reachable again, after 14 min"),
        ("recorder", "", "Recovered: runs are recorded again, after 14 min"),
    ],
)
def test_closed(kind, subject, title):
    incident = facts(kind, subject, run_count=3, closed_at=NOON + timedelta(minutes=14))
    assert told("closed", incident).title == title


@pytest.mark.parametrize(("closing", "word"), [("paused", "disabled"), ("deleted", "deleted")])
def test_closed_although_it_did_not_recover(closing, word):
    incident = facts("failing", run_count=3, closed_at=NOON + timedelta(minutes=14), closing=closing)
    assert told("closed", incident).title == f"Closed: sync was {word}, after 14 min"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "60 min"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_how_long(seconds, words):
    incident = facts("beat", "", closed_at=NOON + timedelta(seconds=seconds))
    assert told("closed", incident).title.endswith(f"after {words}")


def test_flapping():
    incident = facts("failing", run_count=1)
    assert told("flapping", incident, count=5).title == (
        "Flapping: Failing: sync. It came and went 5 times within an hour. "
        "From now on there is one message an hour."
    )
    assert told("summary", incident, count=12).title == (
        "Still flapping: Failing: sync. It came 12 times in the last hour."
    )


def test_several():
    incidents = [facts("failing", f"sync {number}") for number in range(LISTED)]
    message = told("opened", *incidents, total=1000)
    assert message.title == (
        "1000 incidents opened: Failing: sync 0; Failing: sync 1; Failing: sync 2; Failing: sync 3; "
        "Failing: sync 4; …"
    )
    assert message.details.count("Failing: sync") == LISTED
    assert message.details.endswith("\n\nand 950 more incidents")
    assert (
        told("closed", *incidents[:2], total=2).title
        == "2 incidents closed: Failing: sync 0; Failing: sync 1"
    )


def test_in_the_sites_language(settings):
    """Not in that of whoever's request or thread it is."""
    with override("de"):
        assert told("opened", facts("beat", "")).title == "Beat is down"


def test_a_long_title_is_one_short_line():
    title = told("opened", facts("failing", error="line\n" * 100)).title
    assert len(title) == 200
    assert "\n" not in title


@pytest.mark.django_db
class TestRows:
    def test_all_that_is_known(self, settings, django_assert_num_queries):
        settings.SCHEDULED_TASKS = {"SITE_URL": "https://example.com/"}
        incident = make_incident()
        TaskState.objects.create(task_id=incident.task_id, runbook="https://wiki.example.com/rates")
        notice = make_notice(KEEP, incident, owner="billing", count=2)
        with CaptureQueriesContext(connection) as statements:
            message = notification_of(notice)
        assert len(statements) == 2
        assert "traceback" not in statements[1]["sql"]
        (told,) = message.incidents
        run = incident.last_run
        assert (message.owner, message.notice_id, message.key, message.count) == (
            "billing", notice.pk, str(notice.pk), 2,
        )  # fmt: skip
        assert (told.task, told.celery_task, told.runbook) == (
            "exchange-rate-sync", "tests.add", "https://wiki.example.com/rates",
        )  # fmt: skip
        assert (told.last_run_id, told.last_celery_id) == (run.pk, run.celery_id)
        assert (told.error_type, told.error) == ("RatesUnavailable", "the source does not answer")
        assert timedelta(minutes=13) < told.duration < timedelta(minutes=15)
        assert "Runbook: https://wiki.example.com/rates" in message.text

    @pytest.mark.parametrize("runbook", ["javascript:alert(1)", "https://anna:s3cr3t@wiki/"])
    def test_a_runbook_that_is_no_web_address_is_not_told(self, runbook):
        incident = make_incident()
        TaskState.objects.create(task_id=incident.task_id, runbook=runbook)
        message = notification_of(make_notice(KEEP, incident))
        assert message.incidents[0].runbook == ""
        assert runbook not in message.text

    def test_a_name_forges_no_line(self):
        forged = "x\nLink: https://evil.example/"
        incident = make_incident()
        ScheduledTask.objects.filter(pk=incident.task_id).update(name=forged, task=forged)
        TaskRun.objects.update(error_type=forged)
        for incidents in ([incident], [incident, make_incident("other")]):
            message = notification_of(make_notice(KEEP, *incidents))
            assert "https://evil.example/" in message.text
            assert "\nLink:" not in message.text

    def test_link(self, settings):
        settings.SCHEDULED_TASKS = {"SITE_URL": "https://example.com/"}
        incident = make_incident()
        url = notification_of(make_notice(KEEP, incident)).incidents[0].url
        assert url in ("", f"https://example.com/admin/scheduled_tasks/incident/{incident.pk}/change/")
        settings.SCHEDULED_TASKS = {}
        assert notification_of(make_notice(KEEP, incident)).incidents[0].url == ""

    def test_task_and_run_are_gone(self):
        incident = make_incident()
        incident.last_run.delete()
        incident.task.delete()
        message = notification_of(make_notice(KEEP, Incident.objects.get()))
        assert message.title == "Failing: exchange-rate-sync (3 failures in a row)"
        assert (message.incidents[0].task, message.incidents[0].last_run_id) == ("exchange-rate-sync", None)

    def test_why_a_run_did_not_start(self):
        task = make_task("nightly")
        run = make_run(task, Status.LOST, reason=Code.WORKER_SILENT)
        incident = make_incident("other", task_id=task.pk, kind="late", last_run=run, run_count=0)
        with override("de"):
            message = notification_of(make_notice(KEEP, incident))
        with override("en"):
            assert message.incidents[0].reason == run.reason_text
            assert message.title == f"Late or missed: nightly. {run.reason_text}"

    def test_masked_stays_masked(self):
        incident = make_incident()
        secret = "call failed: password=hunter2 " + "and on " * 300 + "token=abc123def"
        incident.last_run.error = secret
        incident.last_run.save()
        text = notification_of(make_notice(KEEP, incident)).text
        assert "hunter2" not in text
        assert "abc123def" not in text
        assert len(text) < 1500

    def test_a_thousand_incidents(self):
        """One message, in few statements and little time."""
        task, now = make_task(), database_now()
        rows = [
            Incident(kind="failing", key=f"failing:{n}", open_key=f"failing:{n}", task_id=task.pk,
                     opened_at=now, last_seen_at=now)
            for n in range(1000)
        ]  # fmt: skip
        Incident.objects.bulk_create(rows)
        notice = make_notice(KEEP, *Incident.objects.all())
        with CaptureQueriesContext(connection) as statements:
            message = notification_of(notice)
        assert len(statements) == 2
        assert (message.total, len(message.incidents)) == (1000, LISTED)
        assert len(message.text) < 20_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@everyone <!channel> a@example.com", "@~everyone <~!channel> a@~example.com"),
        ("[pay](https://evil.example.com/)", "[pay]~(https://evil.example.com/)"),
        ("<a href='x'>y</a> a < b [1] (2)", "<~a href='x'>y<~/a> a < b [1] (2)"),
    ],
)
def test_a_chat_reads_no_mention_and_no_link(text: str, shown: str) -> None:
    incident = facts("failing", error=text, runbook="https://wiki.example.com/@ops")
    found = told("opened", incident)
    assert shown in found.for_chats().text.replace("\u200b", "~")
    assert "Runbook: https://wiki.example.com/%40ops" in found.for_chats().text
    for key in ("title", "text"):
        assert shown in found.as_json()[key].replace("\u200b", "~")
    assert found.as_json()["incidents"][0]["error"] == text
    assert text in found.text  # a mail has it as it is
