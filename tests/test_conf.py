"""The one dict setting."""

from datetime import timedelta
from types import MappingProxyType

import pytest
from django.core.exceptions import ImproperlyConfigured

from scheduled_tasks.access import access_policy
from scheduled_tasks.conf import DEFAULTS, RULES, settings
from scheduled_tasks.masking import is_secret
from scheduled_tasks.validation import LONGEST

WRONG = {
    "OVERLAP": [None, "maybe", 5],
    "MISFIRE": [None, "twice", []],
    "GRACE": [None, 60, timedelta(seconds=-1), timedelta.max],
    "RETENTION_COUNT": [0, "x", 2**31, True],
    "ALERTS": [None, "x", ["mailto:ops@example.com"]],
    "ALERT_AFTER": [None, 0, "3", 1.5],
    "RECOVER_AFTER": [None, -1, True],
    "MAX_RUNTIME": [0, 60, "x", timedelta(0), timedelta.max],
    "ALERT_ON": [None, "late", ["lately"], [["late"]], 5],
    "ALERT_SECRET": [5, b"a key of some length"],
    "SITE_URL": [5, ["https://example.com"]],
    "PING_URL": [5, {}],
    "RUN_LINKS": [None, "x", ["https://example.com"]],
    "METRICS_TOKEN": [5, b"token"],
    "RECORD_WAIT": [None, "2", True, -1, float("nan"), float("inf")],
    "OWN_CONNECTION": [None, "no", 0],
}
"""Values that cannot be used, of every setting whose default stands in for them."""

ALWAYS = {
    "RETENTION": [None, 365, "x", timedelta.max],
    "MASKED_WORDS": [None, "iban", ["iban", 5], 5],
    "PAUSED": [None, "yes", 1, 0, ""],
}
"""The same of those that have a stand-in of their own."""


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    """Each value is told of once per process, whichever test sets it."""
    monkeypatch.setattr(settings, "_told", {})


def test_every_setting_has_a_rule():
    assert {*WRONG, *ALWAYS} == {*RULES} == {*DEFAULTS} - {"ACCESS_POLICY"}


@pytest.mark.parametrize(("key", "wrong"), [(key, wrong) for key in WRONG for wrong in WRONG[key]])
def test_the_default_stands_in_for_a_wrong_value_and_one_line_says_so(settings, caplog, key, wrong):
    from scheduled_tasks.conf import settings as ours

    settings.SCHEDULED_TASKS = {key: wrong}
    assert [getattr(ours, key) for _ in range(3)] == [DEFAULTS[key]] * 3
    (record,) = caplog.records
    assert record.getMessage().startswith(f"SCHEDULED_TASKS[{key!r}] ")
    if key in ("ALERTS", "ALERT_SECRET", "PING_URL", "METRICS_TOKEN"):
        assert str(wrong) == "None" or str(wrong) not in record.getMessage()  # which may hold a secret


@pytest.mark.parametrize("wrong", ALWAYS["RETENTION"])
def test_a_retention_that_cannot_be_used_deletes_nothing(settings, wrong):
    from scheduled_tasks.conf import settings as ours

    settings.SCHEDULED_TASKS = {"RETENTION": wrong}
    assert ours.RETENTION == LONGEST


@pytest.mark.parametrize("wrong", ALWAYS["MASKED_WORDS"])
def test_words_that_can_be_read_are_masked(settings, wrong):
    settings.SCHEDULED_TASKS = {"MASKED_WORDS": wrong}
    assert is_secret("iban", "DE02") == ("iban" in str(wrong))


@pytest.mark.parametrize("wrong", ALWAYS["PAUSED"])
def test_a_staging_site_stays_paused_by_a_wrong_value(settings, wrong):
    from scheduled_tasks.conf import settings as ours

    settings.SCHEDULED_TASKS = {"PAUSED": wrong}
    assert ours.PAUSED is bool(wrong)


@pytest.mark.parametrize("wrong", ["text", None, [], 5])
def test_settings_that_are_no_dict(settings, caplog, wrong):
    from scheduled_tasks.conf import settings as ours

    settings.SCHEDULED_TASKS = wrong
    others = DEFAULTS.keys() - {"ACCESS_POLICY"}
    assert [getattr(ours, key) for key in others] == [DEFAULTS[key] for key in others]
    assert [record.getMessage() for record in caplog.records] == ["SCHEDULED_TASKS must be a dict."]


@pytest.mark.parametrize(
    "wrong", [{"ACCESS_POLICY": each} for each in (5, 0, [], ["a.b"], len)] + [5, "a.b", []]
)
def test_nobody_comes_in_by_a_wrong_policy(settings, wrong):
    settings.SCHEDULED_TASKS = wrong
    with pytest.raises(ImproperlyConfigured):
        access_policy()


def test_any_mapping_will_do(settings):
    settings.SCHEDULED_TASKS = MappingProxyType({"ACCESS_POLICY": "builtins.max"})
    assert access_policy() is max


def test_defaults_hold_without_the_setting(settings):
    from scheduled_tasks.conf import settings as ours

    del settings.SCHEDULED_TASKS
    assert ours.GRACE == timedelta(minutes=15)
    assert all(getattr(ours, name) == value for name, value in DEFAULTS.items())


def test_values_are_read_live(settings):
    from scheduled_tasks.conf import settings as ours

    settings.SCHEDULED_TASKS = {"GRACE": timedelta(minutes=1)}
    assert ours.GRACE == timedelta(minutes=1)
    settings.SCHEDULED_TASKS = {}
    assert ours.GRACE == timedelta(minutes=15)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="NONSENSE"):
        settings.NONSENSE  # noqa: B018
