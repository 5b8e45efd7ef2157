"""The pages that are measured, and the emptiest one a person must log in for."""

from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django_celery_beat.models import PeriodicTask


@staff_member_required
def null(request: HttpRequest) -> HttpResponse:
    """Session and login, and nothing else."""
    return HttpResponse()


admin.site.get_model_admin(PeriodicTask).list_per_page = 50  # as many as our own list

urlpatterns = [path("null/", null), path("admin/", admin.site.urls)]
