"""A project with the default admin site and one of its own."""

from django.contrib import admin
from django.urls import path

from scheduled_tasks.admin import ScheduledTaskAdmin, TaskRunAdmin
from scheduled_tasks.models import ScheduledTask, TaskRun

operations = admin.AdminSite(name="operations")
operations.register(ScheduledTask, ScheduledTaskAdmin)
operations.register(TaskRun, TaskRunAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("operations/", operations.urls)]
