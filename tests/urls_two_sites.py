"""A project with two admin sites: Django's own and one of its own class, each with the page."""

from django.contrib import admin
from django.urls import include, path

from scheduled_tasks.admin import ScheduledTaskAdmin, TaskRunAdmin
from scheduled_tasks.models import ScheduledTask, TaskRun


class OperationsSite(admin.AdminSite):
    """A site of the project's own."""

    site_header = "Operations"


class OperationsAdmin(ScheduledTaskAdmin):
    """The page with changes of the project's own."""

    list_per_page = 1


operations = OperationsSite(name="operations")
operations.register(ScheduledTask, OperationsAdmin)
operations.register(TaskRun, TaskRunAdmin)

urlpatterns = [
    path("admin/scheduled-tasks/", include("scheduled_tasks.urls")),
    path("admin/", admin.site.urls),
    path("operations/", operations.urls),
]
