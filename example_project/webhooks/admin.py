"""The rows the jobs work on, to look at."""

from django.contrib import admin

from example_project.webhooks.models import Delivery

admin.site.register([Delivery])
