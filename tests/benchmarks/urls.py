"""The pages that are measured, and the emptiest one a person must log in for."""

from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.urls import path


@staff_member_required
def null(request: HttpRequest) -> HttpResponse:
    """Session and login, and nothing else."""
    return HttpResponse()


urlpatterns = [path("null/", null), path("admin/", admin.site.urls)]
