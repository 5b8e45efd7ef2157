"""A site that offers the metrics."""

from django.urls import include, path

urlpatterns = [path("metrics/", include("scheduled_tasks.metrics.urls"))]
