"""The site's addresses: the admin, its front page leading there, and the subscriber of its webhooks."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from example_project.webhooks.views import sink

urlpatterns = [
    # The short route; it must stand above the admin's.
    path("admin/scheduled-tasks/", include("scheduled_tasks.urls")),
    path("admin/", admin.site.urls),
    path("webhooks/sink/", sink, name="webhook-sink"),
    path("", RedirectView.as_view(pattern_name="scheduled_tasks:tasks"), name="home"),
]
