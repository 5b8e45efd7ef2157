"""``path("metrics/", include("scheduled_tasks.metrics.urls"))`` wherever the site likes it."""

from __future__ import annotations

from django.urls import path

from .view import metrics

app_name = "scheduled_tasks_metrics"
urlpatterns = [path("", metrics, name="metrics")]
