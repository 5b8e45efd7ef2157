"""The one dict setting."""

from datetime import timedelta

import pytest

from scheduled_tasks.conf import DEFAULTS, settings


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
