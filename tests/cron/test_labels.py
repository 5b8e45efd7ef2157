"""Cron expressions in words."""

from datetime import UTC, datetime, timedelta

import cron_descriptor
import pytest
from django.utils import translation

from scheduled_tasks.cron import CronExpression, InvalidCron, labels


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


@pytest.mark.parametrize("text", ["0 0 1-9,20 3,5 2", "1-59/8 9-10 1-9,20 * 1-4", "* 1,3,7 1-9,20 2-4 2,4"])
def test_the_fallback_does_not_depend_on_cron_descriptors_version(monkeypatch, text):
    """1.4 joins a date and a weekday by "only on", 2.x by "or on": it never sees both."""
    asked = []

    class Descriptor(cron_descriptor.ExpressionDescriptor):
        def __init__(self, expression, options):
            asked.append(expression.split())
            super().__init__(expression, options)

    monkeypatch.setattr(cron_descriptor, "ExpressionDescriptor", Descriptor)
    assert CronExpression.parse(text).label.endswith("(both the date and the weekday must match)")
    assert all("*" in (days, weekdays) for _, _, days, _, weekdays in asked)


def test_a_fallback_that_raises_leaves_the_canonical_text(monkeypatch):
    monkeypatch.setattr(cron_descriptor, "ExpressionDescriptor", None)
    assert CronExpression.parse("0 0 1-9,20 * 2").label == "0 0 1-9,20 * 2"


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
        with pytest.raises(InvalidCron) as refusal:
            CronExpression.parse("0 3 * 13 *")
        assert str(refusal.value) == "««month»: 13 is out of range (1-12).»"


def test_every_notice_has_a_sentence():
    assert set(labels.NOTICES) == {"both_days", "far", "clock_change"}
    assert all(str(sentence).endswith(".") for sentence in labels.NOTICES.values())


def test_a_list_page_costs_little():
    """100 rows parsed and labelled again and again; generous for a loaded machine."""
    started = datetime.now(UTC)
    for _ in range(100):
        assert CronExpression.parse("0 9 * * 1-5").label == "Weekdays at 9 AM"
    assert datetime.now(UTC) - started < timedelta(seconds=1)
