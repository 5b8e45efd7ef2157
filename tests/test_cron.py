"""Cron expressions against tables of cases; the runs in the table were replayed through beat itself."""

import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from scheduled_tasks import cron_labels
from scheduled_tasks.cron import CronExpression, InvalidCron

VECTORS = json.loads(Path(__file__).with_name("cron_vectors.json").read_text())
VALID = [pytest.param(vector, id=vector["id"]) for vector in VECTORS if vector["valid"]]
INVALID = [pytest.param(vector, id=vector["id"]) for vector in VECTORS if not vector["valid"]]
NOW = datetime(2026, 6, 2, 10, 7, tzinfo=UTC)


def refusal(text):
    with pytest.raises(InvalidCron) as caught:
        CronExpression.parse(text)
    return caught.value


@pytest.mark.parametrize("vector", VALID)
def test_reads_a_valid_expression(vector):
    cron = CronExpression.parse(vector["expression"])
    assert cron.canonical == vector["canonical"]
    assert cron.fields == vector["fields"]
    assert cron.label == vector["label"]
    assert cron.notices == (("both_days",) if vector["day_and_warning"] else ())


@pytest.mark.parametrize("vector", VALID)
def test_next_runs_are_those_beat_made(vector):
    cron = CronExpression.parse(vector["expression"])
    runs = cron.next_runs(datetime.fromisoformat(vector["from"]), vector["timezone"], 3)
    assert [run.isoformat() for run in runs] == vector["next"]


@pytest.mark.parametrize("vector", INVALID)
def test_says_what_is_wrong_with_the_others(vector):
    error = refusal(vector["expression"])
    assert (error.code, str(error)) == (vector["reason_code"], vector["reason"])


@pytest.mark.parametrize("text", [None, b"0 3 * * *", 5, 1.5, ["0"], {}, object(), NotImplemented])
def test_refuses_what_is_no_text(text):
    assert refusal(text).code in ("type", "empty")


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("0 3 * * 5/2", "step_start", 'day of week: "5/2" is not standard cron; write 5-6/2.'),
        ("0 3 * * 7/2", "step_start", 'day of week: "7/2" is not standard cron; write 0-6/2.'),
        ("0 3 * * thurs", "name", "day of week: write THU instead of thurs."),
        ("0 3 * foo *", "syntax", 'month: "foo" is not a valid value.'),
        ("0 3 * * FRIL", "extension", 'day of week: "FRIL" (L, W, #) is not supported.'),
        ("H(0-29)/10 * * * *", "extension", 'minute: random or hashed values ("H(0-29)") are not supported.'),
        ("*/ * * * *", "step", 'minute: "/" is not a valid step.'),
        ("0 3 * *\x00 *", "characters", "Only plain ASCII characters are allowed."),
        ("23-0 3 * * *", "backwards", None),
        (",".join(f"{n}-{n + 1}" for n in range(58)) + " 3 * * *", "too_long", "The expression is too long."),
    ],
)
def test_more_refusals(text, code, message):
    error = refusal(text)
    assert error.code == code
    assert message is None or str(error) == message


def test_a_long_wrong_value_is_cut_in_the_message():
    assert len(str(refusal("x" * 500 + " * * * *"))) < 120


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0 3 * * SUN-SUN", "0 3 * * 0"),
        ("0 3 * * 7-7", "0 3 * * 0"),
        ("0 3 * * 6-7", "0 3 * * 6,0"),
        ("0 3 * * 1-7/2", "0 3 * * 1,3,5,0"),
        ("0 3 * * MON-SUN", "0 3 * * *"),
        ("5-20/1,5-20 3 * * *", "5-20 3 * * *"),
        ("*/05 03 01 Feb-apr *", "*/5 3 1 2-4 *"),
        ("\n@Annually ", "0 0 1 1 *"),
        ("\t" * 5000 + "0 3 * * *", "0 3 * * *"),
    ],
)
def test_canonical_form(text, canonical):
    assert CronExpression.parse(text).canonical == canonical


def test_expressions_are_equal_by_meaning_of_their_text():
    assert CronExpression.parse("0 3 * * SUN") == CronExpression.parse("00 3 * * 7")
    assert len({CronExpression.parse("@daily"), CronExpression.parse("0 0 * * *")}) == 1


def test_fields_cannot_be_changed_through_the_dict():
    cron = CronExpression.parse("0 3 * * *")
    cron.fields["hour"] = "4"
    assert cron.fields["hour"] == "3"


def test_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(refusal("60 * * * *")))
    assert (error.code, str(error)) == ("range", "minute: 60 is out of range (0-59).")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("*/10 3 * * *", "Every 10 minutes from 3 AM to 3:50 AM"),
        ("*/30 3 * * *", "Daily at 3 AM and 3:30 AM"),
        ("0-30 * * * *", "Every minute from :00 to :30 of each hour"),
        ("1-59/2 * * * *", "Every 2 minutes from :01 to :59 of each hour"),
        ("*/15,3 * * * *", "Hourly at :00, :03, :15, :30 and :45"),
        ("30 */2 * * *", "Every 2 hours at :30"),
        ("15 */5 * * *", "Every 5 hours from midnight at :15"),
        ("0 0-22/2 * * *", "Every 2 hours from midnight to 10 PM"),
        ("* 9-17 * * 1-5", "Every minute from 9 AM to 5:59 PM on weekdays"),
        ("0 22-23,0-3 * * 1", "Mondays at midnight, 1 AM, 2 AM, 3 AM, 10 PM and 11 PM"),
        ("* 22-23,0-1 * * *", "Every minute from 10 PM to 1:59 AM"),
        ("5,35 9-17 * * *", "Hourly at :05 and :35 from 9:05 AM to 5:35 PM"),
        ("0 3 * * 0-5", "Daily except Saturdays at 3 AM"),
        ("*/15 * * * 1-6", "Every 15 minutes except on Sundays"),
        ("0 0 2-30/2 * *", "Even days of the month at midnight"),
        ("0 0 2,3,11,13,22,23 * *", "Monthly on the 2nd, 3rd, 11th, 13th, 22nd and 23rd at midnight"),
        ("0 0 1-7 1 *", "From the 1st to the 7th of the month at midnight, in January"),
        ("0 9 8-14 * 2", "Second Tuesday of the month at 9 AM"),
        ("0 9 15-21 * 1", "Third Monday of the month at 9 AM"),
        ("0 9 22-28 3-5 1", "Fourth Monday of the month at 9 AM, March through May"),
        ("0 0 10-20 * 1-5", "Weekdays from the 10th to the 20th of the month at midnight"),
        ("0 0 2-30/2 * 0,6", "Weekends that fall on an even day of the month at midnight"),
        ("*/5 * 13 * 5", "Every 5 minutes on Fridays that fall on the 13th of the month"),
        ("0 0 * 11-12,1 *", "Daily at midnight, November through January"),
        ("*/15 * 1 1 *", "Every 15 minutes on January 1"),
    ],
)
def test_more_labels(text, label):
    assert CronExpression.parse(text).label == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (
            "1-59/8 9-10 * * *",
            "At 1, 9, 17, 25, 33, 41, 49, and 57 minutes past the hour, between 09:00 AM and 10:59 AM",
        ),
        (
            "0 1,2,4,7,8,9,11 * * *",
            "At 01:00 AM, 02:00 AM, 04:00 AM, 07:00 AM, 08:00 AM, 09:00 AM and 11:00 AM",
        ),
        pytest.param(
            "0 0 1-9,20 * 2",
            (
                "At 12:00 AM, on day 1 through 9 and 20 of the month, only on Tuesday "
                "(both the date and the weekday must match)"
            ),
            id="both days",
        ),
    ],
)
def test_falls_back_to_a_description_that_is_true(text, label):
    assert CronExpression.parse(text).label == label


def test_the_fallback_is_the_canonical_text_where_the_description_would_be_english():
    with translation.override("de"):
        assert CronExpression.parse("*/07 9-17 * * *").label == "*/7 9-17 * * *"


def test_labels_follow_the_active_language():
    cron = CronExpression.parse("30 15 1 3 *")
    assert cron.label == "Yearly on March 1 at 3:30 PM"
    with translation.override("de"):
        german = cron.label
    assert "März" in german
    assert "15:30" in german


def test_every_piece_of_a_label_and_of_a_message_can_be_translated(monkeypatch):
    """Stand-in for a catalogue: every text that goes through gettext comes back marked."""
    catalogue = translation.trans_real.translation("en")
    monkeypatch.setattr(catalogue, "gettext", lambda text: f"«{text}»")
    monkeypatch.setattr(catalogue, "pgettext", lambda context, text: f"«{text}»", raising=False)
    monkeypatch.setattr(translation._trans, "pgettext", lambda context, text: f"«{text}»")
    with translation.override("en"):
        assert CronExpression.parse("0 9 * 1 1,3").label.replace("«", "").replace("»", "") == (
            "Mondays and Wednesdays at 9 AM, in January"
        )
        assert "««" in CronExpression.parse("0 9 * 1 1,3").label
        assert str(refusal("0 3 * 13 *")) == "««month»: 13 is out of range (1-12).»"


@pytest.mark.parametrize("environment", [{}, {"DJANGO_SETTINGS_MODULE": "django.conf.global_settings"}])
def test_a_message_needs_no_apps_loaded(environment):
    """A wrong declaration must explain itself while modules are being imported, and make no Celery app."""
    code = (
        "from scheduled_tasks.cron import CronExpression, InvalidCron\n"
        "from celery._state import _get_active_apps\n"
        "from django.apps import apps\n"
        "print(apps.apps_ready, list(_get_active_apps()))\n"
        "try: CronExpression.parse('0 25 * * *')\n"
        "except InvalidCron as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.splitlines() == ["False []", "hour: 25 is out of range (0-23)."]


def test_next_runs_are_strictly_after():
    cron = CronExpression.parse("0 3 * * *")
    at = datetime(2026, 6, 2, 3, tzinfo=UTC)
    assert cron.next_runs(at, "UTC", 1) == [at + timedelta(days=1)]
    assert cron.next_runs(at - timedelta(microseconds=1), ZoneInfo("UTC"), 1) == [at]


def test_next_runs_wants_an_aware_time():
    with pytest.raises(ValueError, match="aware"):
        CronExpression.parse("0 3 * * *").next_runs(datetime(2026, 6, 2), "UTC", 1)


@pytest.mark.parametrize(
    ("text", "zone", "notices"),
    [
        ("0 3 * * *", "UTC", ()),
        ("30 2 * * *", "UTC", ()),
        ("30 2 * * *", "Europe/Paris", ("clock_change",)),
        ("59 2 * * *", "Europe/Paris", ("clock_change",)),
        ("0 3 * * *", "Europe/Paris", ()),
        ("59 1 * * *", "Europe/Paris", ()),
        ("0 1 * * *", "America/New_York", ("clock_change",)),
        ("30 2 * * 1-5", "Europe/Paris", ()),
        ("30 2 1 * *", "Europe/Paris", ()),
        ("*/15 * * * *", "Europe/Paris", ("clock_change",)),
        ("15 2 * * *", "Australia/Lord_Howe", ("clock_change",)),
        ("45 2 * * *", "Australia/Lord_Howe", ()),
        ("0 0 * * *", "America/Santiago", ("clock_change",)),
        ("30 2 * * *", "Asia/Kolkata", ()),
        ("0 0 29 2 *", "UTC", ("far",)),
        ("0 0 29 2 1", "UTC", ("both_days", "far")),
        ("0 0 1 6 *", "UTC", ()),
    ],
)
def test_notices_that_depend_on_the_zone_and_the_moment(text, zone, notices):
    assert CronExpression.parse(text).notices_for(NOW, zone) == notices


def test_every_notice_has_a_sentence():
    assert set(cron_labels.NOTICES) == {"both_days", "far", "clock_change"}
    assert all(str(sentence).endswith(".") for sentence in cron_labels.NOTICES.values())


def test_a_list_page_costs_little():
    """100 rows parsed and labelled again and again; generous for a loaded machine."""
    started = datetime.now(UTC)
    for _ in range(100):
        assert CronExpression.parse("0 9 * * 1-5").label == "Weekdays at 9 AM"
    assert datetime.now(UTC) - started < timedelta(seconds=1)
