"""The rows the jobs work on, to look at."""

from django.contrib import admin

from example_project.governance.models import Conversation, Document, ExchangeRate, Membership, Tenant

admin.site.register([Conversation, Document, ExchangeRate, Membership, Tenant])
