"""The Celery app of the processes that are measured."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.benchmarks.settings")

app = Celery("benchmarks")
app.config_from_object("django.conf:settings", namespace="CELERY")
if os.environ["BENCH_MODE"] == "results-kept":
    app.conf.CELERY_DB_REUSE_MAX = 1_000_000_000
if os.environ["BENCH_MODE"] == "raw":
    from tests.benchmarks import raw

    raw.connect()
