"""A project that has the short route."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/scheduled-tasks/", include("scheduled_tasks.urls")),
    path("admin/", admin.site.urls),
]
