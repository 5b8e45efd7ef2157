"""A site with a scheduler of its own, and an entry with a key that only this one reads."""

from celery.schedules import crontab

from tests.settings import *  # noqa: F403

CELERY_BEAT_SCHEDULER = "tests.own_schedulers:OffsetScheduler"
CELERY_BEAT_SCHEDULE = {
    "shifted": {"task": "tests.tasks.count_users", "schedule": crontab(minute="0"), "apply_offset": True},
    "plain": {"task": "tests.tasks.count_users", "schedule": crontab(minute="0"), "apply_offset": False},
}
